//! A container as arguments of `docker run`, for programs that know the client and not the engine.

use super::{ContainerSpec, VolumeMount};

/// Returns what makes the same container as [`super::Engine::create_container`] does, but for its name and its
/// environment: the latter comes from `env_file`, as it holds secrets and other users can see arguments.
pub fn run_args(spec: &ContainerSpec, env_file: &str) -> Vec<String> {
    let mut args = Args::default();
    args.add("--hostname", &spec.hostname);
    args.add("--network", &spec.network);
    args.add("--network-alias", &spec.hostname);
    args.add("--ip", spec.address.to_string());
    args.add("--publish", format!("127.0.0.1::{}", spec.published_port));
    args.add("--env-file", env_file);
    args.add("--cgroupns", "private");
    for capability in &spec.capabilities {
        args.add("--cap-add", capability);
    }
    for option in spec.security.iter().map(String::as_str).chain(["systempaths=unconfined"]) {
        args.add("--security-opt", option);
    }
    for (path, options) in super::container::TMPFS {
        let colon = if options.is_empty() { "" } else { ":" };
        args.add("--tmpfs", format!("{path}{colon}{options}"));
    }
    for (key, value) in &spec.labels {
        args.add("--label", format!("{key}={value}"));
    }
    for volume in &spec.volumes {
        args.add("--mount", mount(volume, spec));
    }
    for bind in &spec.binds {
        args.add(
            "--mount",
            fields(&[
                "type=bind",
                &format!("source={}", bind.source),
                &format!("target={}", bind.target),
                "readonly",
            ]),
        );
    }
    if let Some(bytes) = spec.limits.memory_bytes {
        args.add("--memory", bytes.to_string());
        args.add("--memory-swap", bytes.to_string());
    }
    if let Some(cpus) = spec.limits.cpus {
        args.add("--cpus", cpus.to_string());
    }
    args.0
}

/// Returns the lines of an `env_file`; none of them may hold a line's end.
pub fn env_file(spec: &ContainerSpec) -> String {
    spec.env.iter().map(|line| format!("{line}\n")).collect()
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }
}

fn mount(volume: &VolumeMount, spec: &ContainerSpec) -> String {
    let (source, target) = (format!("source={}", volume.volume), format!("target={}", volume.target));
    let mut all = vec!["type=volume".to_owned(), source, target];
    if volume.is_read_only {
        all.push("readonly".to_owned());
    } else {
        // A volume that has to be made gets the labels of whoever makes it.
        all.extend(spec.labels.iter().map(|(key, value)| format!("volume-label={key}={value}")));
    }
    fields(&all)
}

/// Joins fields as the client reads them: as one line of CSV.
fn fields(all: &[impl AsRef<str>]) -> String {
    let quote = |field: &str| {
        if field.contains([',', '"', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    all.iter().map(|field| quote(field.as_ref())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{Bind, Labels, Limits};

    #[test]
    fn a_container_becomes_arguments_without_its_secrets() {
        let spec = ContainerSpec {
            name: "lab-web-core-01".to_owned(),
            hostname: "core-01".to_owned(),
            image: "lab/node:1".to_owned(),
            labels: Labels::from([("lab.project".to_owned(), "/a, b".to_owned())]),
            env: vec!["LAB_SEED={}".to_owned()],
            network: "lab-web".to_owned(),
            address: [10, 77, 0, 11].into(),
            published_port: 22,
            volumes: vec![
                VolumeMount { volume: "v".to_owned(), target: "/v".to_owned(), is_read_only: false },
                VolumeMount { volume: "r".to_owned(), target: "/r".to_owned(), is_read_only: true },
            ],
            binds: vec![Bind { source: "/store".to_owned(), target: "/s".to_owned() }],
            limits: Limits { memory_bytes: Some(1 << 30), cpus: Some(1.5) },
            capabilities: vec!["SYS_ADMIN".to_owned()],
            security: vec!["seccomp=unconfined".to_owned()],
        };
        let args = run_args(&spec, "/e");
        assert!(!args.iter().any(|arg| arg.contains("SEED")));
        insta::assert_snapshot!(args.chunks(2).map(|pair| pair.join(" ") + "\n").collect::<String>());
        assert_eq!(env_file(&spec), "LAB_SEED={}\n");
    }
}
