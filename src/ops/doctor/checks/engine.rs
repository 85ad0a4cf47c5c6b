//! The engine: whether it answers, and whether it is of a kind that nodes can live on.

use crate::docker::EngineFacts;
use crate::ops::doctor::facts::{EngineState, HostFacts, Installer, Program};
use crate::ops::doctor::finding::{Finding, Fix};

const DOCKER: &str = "docker";
/// Drivers that keep each layer once.
const SHARING_DRIVERS: [&str; 5] = ["overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs"];

pub(super) fn check(facts: &HostFacts) -> Vec<Finding> {
    let Some(engine) = facts.engine_facts() else { return vec![trouble(facts)] };
    let mut findings = vec![answer(facts, engine), storage(facts, engine)];
    findings.extend(engine.is_rootless.then(|| {
        Finding::warning(
            "rootless",
            "the engine runs without root, which can keep back rights that nodes need",
            "export DOCKER_HOST=unix:///var/run/docker.sock  # the engine of the whole host",
        )
    }));
    findings
}

fn answer(facts: &HostFacts, engine: &EngineFacts) -> Finding {
    let EngineState::Up { host, .. } = &facts.engine else { return trouble(facts) };
    let armour = if engine.has_apparmor { ", with AppArmor" } else { "" };
    let EngineFacts { version, architecture, .. } = engine;
    Finding::fine(DOCKER, format!("Docker {version} for {architecture} answers at `{host}`{armour}"))
}

fn storage(facts: &HostFacts, engine: &EngineFacts) -> Finding {
    let driver = engine.storage_driver.as_str();
    if SHARING_DRIVERS.contains(&driver) {
        return Finding::fine("storage", format!("the driver `{driver}` keeps each layer once"));
    }
    let says = format!("the storage driver `{driver}` is slow and copies what nodes could share");
    let edit = "sh -c '${EDITOR:-vi} /etc/docker/daemon.json'  # \"storage-driver\": \"overlay2\", and restart Docker";
    Finding::warning("storage", says, facts.as_root(edit))
}

fn trouble(facts: &HostFacts) -> Finding {
    let problem = |says: String, cure: String| Finding::problem(DOCKER, says, cure);
    match &facts.engine {
        EngineState::Up { .. } => Finding::fine(DOCKER, "an engine answers"),
        EngineState::Denied { host } => problem(
            format!("you may not use the engine at `{host}`"),
            "sudo usermod -aG docker \"$USER\"  # then log in again".to_owned(),
        ),
        EngineState::Silent { host } => problem(
            format!("no engine answers at `{host}`"),
            "unset DOCKER_HOST  # to use the engine of this host".to_owned(),
        ),
        EngineState::TooOld { host, version } => problem(
            format!("the engine at `{host}` is version {version}; 20.10 (API 1.41) or later is needed"),
            upgrade(facts),
        ),
        EngineState::Failing { says } => problem(
            format!("the engine answers, and fails: {says}"),
            facts.as_root(if facts.has_systemd { "systemctl restart docker" } else { "docker info" }),
        ),
        EngineState::Stopped { host } => stopped(facts, host),
    }
}

fn upgrade(facts: &HostFacts) -> String {
    if facts.is_linux {
        format!("curl -fsSL https://get.docker.com | {}", facts.as_root("sh"))
    } else {
        "brew upgrade --cask docker-desktop".to_owned()
    }
}

fn stopped(facts: &HostFacts, host: &str) -> Finding {
    let says = format!("no engine answers at `{host}`");
    if !facts.is_linux {
        return Finding::problem(DOCKER, says, "open -a Docker");
    }
    if let Some(socket) = &facts.other_socket {
        let says = format!("{says}, but one listens at `{socket}`");
        return Finding::problem(DOCKER, says, format!("export DOCKER_HOST=unix://{socket}"));
    }
    if facts.programs.dockerd == Program::Absent {
        let package = if facts.installer == Some(Installer::Apt) { "docker.io" } else { "docker" };
        return Finding::problem(DOCKER, format!("{says}: Docker is not installed"), facts.install(package));
    }
    if facts.has_systemd {
        let cure = facts.as_root("systemctl start docker");
        return Finding::problem(DOCKER, says, cure).fixed_by(Fix::StartDocker);
    }
    Finding::problem(
        DOCKER,
        says,
        "scripts/engine start  # in the repository of lab; elsewhere, dockerd as root",
    )
}

#[cfg(test)]
mod tests {
    use super::super::sample::healthy;
    use super::*;
    use crate::ops::doctor::finding::Verdict;

    const HOST: &str = "unix:///var/run/docker.sock";

    #[track_caller]
    fn check_trouble(spoil: impl FnOnce(&mut HostFacts), cure: &str, fix: Option<&Fix>) {
        let mut facts = healthy();
        facts.engine = EngineState::Stopped { host: HOST.to_owned() };
        spoil(&mut facts);
        let findings = check(&facts);
        assert_eq!(findings.len(), 1, "of an engine that does not answer no more is said");
        assert_eq!((findings[0].check, findings[0].verdict), ("docker", Verdict::Problem));
        assert!(findings[0].cure.as_deref().unwrap().starts_with(cure), "{findings:?}");
        assert_eq!(findings[0].fix.as_ref(), fix);
    }

    #[test]
    fn an_engine_that_does_not_answer_has_the_cure_of_its_cause() {
        let host = || HOST.to_owned();
        check_trouble(|_| {}, "sudo systemctl start docker", Some(&Fix::StartDocker));
        check_trouble(|facts| facts.is_root = true, "systemctl start docker", Some(&Fix::StartDocker));
        check_trouble(|facts| facts.has_systemd = false, "scripts/engine start", None);
        check_trouble(
            |facts| facts.programs.dockerd = Program::Absent,
            "sudo apt-get install docker.io",
            None,
        );
        check_trouble(|facts| facts.is_linux = false, "open -a Docker", None);
        let other = Some("/run/user/7/docker.sock".to_owned());
        check_trouble(|f| f.other_socket = other, "export DOCKER_HOST=unix:///run/user/7/docker.sock", None);
        check_trouble(|f| f.engine = EngineState::Denied { host: host() }, "sudo usermod", None);
        check_trouble(
            |f| f.engine = EngineState::Silent { host: "tcp://a:1".to_owned() },
            "unset DOCKER_HOST",
            None,
        );
        check_trouble(
            |f| f.engine = EngineState::TooOld { host: host(), version: "API 1.24".to_owned() },
            "curl -fsSL https://get.docker.com | sudo sh",
            None,
        );
        check_trouble(
            |f| f.engine = EngineState::Failing { says: "x".to_owned() },
            "sudo systemctl restart",
            None,
        );
    }

    #[track_caller]
    fn check_engine(spoil: impl FnOnce(&mut EngineFacts), of: &str, want: Option<Verdict>) {
        let mut facts = healthy();
        if let EngineState::Up { facts, .. } = &mut facts.engine {
            spoil(facts);
        }
        let findings = check(&facts);
        assert_eq!(findings.iter().find(|finding| finding.check == of).map(|finding| finding.verdict), want);
    }

    #[test]
    fn an_engine_that_answers_is_judged_by_its_kind() {
        check_engine(|_| {}, "docker", Some(Verdict::Fine));
        check_engine(|_| {}, "storage", Some(Verdict::Fine));
        check_engine(|_| {}, "rootless", None);
        check_engine(|engine| engine.storage_driver = "overlayfs".to_owned(), "storage", Some(Verdict::Fine));
        check_engine(|engine| engine.storage_driver = "vfs".to_owned(), "storage", Some(Verdict::Warning));
        check_engine(|engine| engine.is_rootless = true, "rootless", Some(Verdict::Warning));
    }
}
