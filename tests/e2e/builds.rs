//! Images that are built from folders: what makes a build another one, and how one ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::SystemTime;

use camino::Utf8PathBuf;
use lab::exec::Cmd;
use lab::fs::{self, Access};
use lab::images::build::{self, Built, Inputs, Wanted, diff};
use lab::model::image::{BuildSource, Digest, ImageName};
use lab::progress::{Kind, Progress};

use crate::kit::{Engine, Run, Running, wait_until};

/// A folder to build, on an image that is made of this host's shell.
struct Yard {
    _dir: tempfile::TempDir,
    folder: Utf8PathBuf,
    runtime: tokio::runtime::Runtime,
    engine: Engine,
    name: String,
    /// What all that is built here begins with.
    layer: String,
    known: BTreeMap<ImageName, Digest>,
    pins: BTreeMap<ImageName, Digest>,
}

impl Yard {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a test may make folders");
        let top =
            Utf8PathBuf::from_path_buf(dir.path().canonicalize().expect("it is there")).expect("it is text");
        let name = format!("e2e-{name}");
        let shell = "tar -chP /bin/sh /bin/ls /bin/sleep /bin/cat \
                     $(ldd /bin/sh /bin/ls /bin/sleep /bin/cat | grep -v :\\$ | grep -o '/[^ ]*' | sort -u)";
        // A file of its own makes the layer another one than that of every other yard.
        fs::write(&top.join("yard"), &name, Access::Public).expect("a test may write there");
        let import = format!("{shell} {top}/yard | docker import - {name}/base:1");
        Run::of(&Cmd::new("sh").arg("-c").arg(import), dir.path()).ok();
        let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
        let (engine, folder) = (Engine::of_host(), top.join("web"));
        let base = format!("{name}/base:1");
        let layer =
            engine.docker(["inspect", "--format={{index .RootFS.Layers 0}}", &base]).trim().to_owned();
        let yard =
            Self { _dir: dir, folder, runtime, engine, name, layer, known: [].into(), pins: [].into() };
        yard.write("Dockerfile", &format!("FROM {}/base:1\nCOPY . /all\nRUN ls -A /all\n", yard.name));
        yard
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(&self.folder.join(path), content, Access::Public).expect("a test may write there");
    }

    fn image(&self, name: &str) -> ImageName {
        ImageName::parse(&format!("{}/{name}", self.name)).expect("it is a name")
    }

    fn source(&self) -> BuildSource {
        BuildSource {
            folder: self.folder.clone(),
            dockerfile: "Dockerfile".into(),
            args: BTreeMap::new(),
            target: None,
        }
    }

    fn inputs(&self, source: &BuildSource) -> Inputs {
        self.with(source, |engine, wanted| self.runtime.block_on(build::inputs(engine, &wanted)))
            .expect("the folder can be read")
    }

    fn with<T>(&self, source: &BuildSource, work: impl FnOnce(&lab::docker::Engine, Wanted<'_>) -> T) -> T {
        let engine = self.runtime.block_on(lab::docker::Engine::connect(None)).expect("an engine answers");
        let name = self.image("web");
        let (known, pins) = (&self.known, &self.pins);
        work(&engine, Wanted { name: &name, source, platform: None, known, pins, is_fresh: false })
    }

    /// Builds, and returns also all that the builder printed.
    fn build(&self, source: &BuildSource) -> (Result<Built, build::Error>, String) {
        let (tell, told) = mpsc::channel();
        let progress =
            Progress::new(move |event| drop((event.kind == Kind::Output).then(|| tell.send(event.text))));
        let step = progress.begin("web", "building");
        let built =
            self.with(source, |engine, wanted| self.runtime.block_on(build::build(engine, &wanted, &step)));
        (built, told.try_iter().collect::<Vec<_>>().join("\n"))
    }

    #[track_caller]
    fn built(&self, source: &BuildSource) -> (Built, String) {
        let (built, output) = self.build(source);
        (built.unwrap_or_else(|error| panic!("{error}\n{output}")), output)
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let listed = self.engine.docker(["images", "--format={{.Repository}}:{{.Tag}}"]);
        let named = listed.lines().filter(|name| name.starts_with(&format!("{}/", self.name)));
        let unnamed = self.engine.docker(["images", "--all", "--quiet", "--filter=dangling=true"]);
        let layers = |id: &&str| self.engine.try_docker(["inspect", "--format={{json .RootFS.Layers}}", id]);
        let unnamed = unnamed.lines().filter(|id| layers(id).stdout.contains(&self.layer));
        for image in named.chain(unnamed) {
            drop(self.engine.try_docker(["rmi", "--force", image]));
        }
    }
}

#[test]
fn a_build_is_known_by_what_went_into_it() {
    let yard = Yard::new("build-key");
    yard.write("a", "1");
    yard.write("b/c", "2");
    yard.write(".dockerignore", "*.o\n");
    yard.write("x.o", "no");
    let source = yard.source();
    let before = yard.inputs(&source);
    let (built, output) = yard.built(&source);
    assert!(output.contains("Step 3/3") && output.contains("Successfully built"), "{output}");
    assert_eq!(built.inputs, before);
    assert!(before.bases[&yard.image("base:1")].is_some());
    let id = yard.engine.docker(["images", "--no-trunc", "--quiet", &format!("{}/web:latest", yard.name)]);
    assert_eq!(id.trim(), built.id.to_string());

    File::open(yard.folder.join("a")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    yard.write("y.o", "no");
    assert_eq!(yard.inputs(&source).key(), before.key());
    yard.write("a", "3");
    let after = yard.inputs(&source);
    let told =
        |old: &Inputs, new: &Inputs| diff(old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(&before, &after), ["changed: a"]);
    assert_ne!(yard.built(&source).0.id, built.id);

    let base = format!("{}/base:1", yard.name);
    yard.engine.docker(["tag", &format!("{}/web:latest", yard.name), &base]);
    assert_eq!(told(&after, &yard.inputs(&source)), [format!("base {base} is another image")]);
    yard.engine.docker(["rmi", &base]);
    let gone = yard.inputs(&source);
    assert_eq!(told(&after, &gone), [format!("base {base} is not in the engine")]);
    assert_eq!(gone.with_bases_of(&after).key(), after.key());
}

#[test]
fn the_image_holds_what_is_not_ignored() {
    let yard = Yard::new("build-files");
    for path in ["a", "b/c", "b/d", "secret", "deep/x/keep", "deep/x/drop"] {
        yard.write(path, path);
    }
    yard.write(".dockerignore", "*\n!a\n!deep/x/keep\n!b\nb/d\n");
    let list = format!("FROM {}/base:1\nCOPY . /all\nRUN ls -AR /all\n", yard.name);
    yard.write("Dockerfile", &list);
    let listed = |output: &str| {
        let lines = output.lines().skip_while(|line| *line != "/all:").skip(1);
        lines
            .take_while(|line| !line.contains("--->") && !line.starts_with("Removing"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (_, output) = yard.built(&yard.source());
    assert_eq!(listed(&output), "a b deep /all/b: c /all/deep: x /all/deep/x: keep", "{output}");
    yard.write("../Elsewhere", &list);
    yard.write(".dockerignore", "secret\ndeep\nb\n");
    let elsewhere = BuildSource { dockerfile: "../Elsewhere".into(), ..yard.source() };
    let (built, output) = yard.built(&elsewhere);
    assert_eq!(listed(&output), "Dockerfile a", "{output}");
    assert_eq!(built.inputs, yard.inputs(&elsewhere));
}

#[test]
fn arguments_and_stages_reach_the_builder() {
    let yard = Yard::new("build-args");
    let file = format!(
        "ARG TAG\nFROM {0}/base:$TAG AS one\nARG WORD=none\nRUN echo \"word=$WORD\"\nFROM one AS two\nRUN exit 3\n",
        yard.name
    );
    yard.write("Dockerfile", &file);
    let args = [("TAG", "1"), ("WORD", "hello")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let source = BuildSource { args: args.into(), target: Some("one".to_owned()), ..yard.source() };
    let (_, output) = yard.built(&source);
    assert!(output.contains("word=hello"), "{output}");
    let without = BuildSource { args: BTreeMap::new(), ..source };
    let error = yard.build(&without).0.unwrap_err();
    assert!(error.hint().unwrap().contains("TAG = "), "{error}");
}

#[test]
fn a_step_that_fails_is_shown_with_what_it_said() {
    let yard = Yard::new("build-fails");
    yard.write("Dockerfile", &format!("FROM {}/base:1\nRUN echo last words >&2; exit 7\n", yard.name));
    let error = yard.build(&yard.source()).0.unwrap_err().to_string();
    assert!(error.contains("last words") && error.contains("code: 7"), "{error}");
    yard.write("Dockerfile", &format!("FROM {}/base:1\nRUN --mount=type=cache,target=/x true\n", yard.name));
    let error = yard.build(&yard.source()).0.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("engine = ")), "{error}");
    yard.write("Dockerfile", "FROM e2e-build-fails/none:1\n");
    let error = yard.build(&yard.source()).0.unwrap_err().to_string();
    assert!(error.contains("e2e-build-fails/"), "{error}");
}

#[test]
fn a_build_that_nobody_waits_for_is_stopped() {
    let yard = Yard::new("build-stops");
    let seconds = 41_000 + std::process::id() % 1000;
    yard.write("Dockerfile", &format!("FROM {}/base:1\nRUN echo begun; sleep {seconds}\n", yard.name));
    let (tell, told) = mpsc::channel();
    let progress = Progress::new(move |event| drop(tell.send(event.text)));
    let (source, name) = (yard.source(), yard.image("web"));
    let building = yard.runtime.spawn(async move {
        let engine = lab::docker::Engine::connect(None).await.unwrap();
        let (known, pins) = (BTreeMap::new(), BTreeMap::new());
        let wanted = Wanted {
            name: &name,
            source: &source,
            platform: None,
            known: &known,
            pins: &pins,
            is_fresh: false,
        };
        drop(build::build(&engine, &wanted, &progress.begin("web", "building")).await);
    });
    wait_until("the step has begun", || told.try_iter().any(|text| text == "begun").then_some(()));
    let sleeps = || {
        let all = yard.engine.docker(["ps", "--no-trunc", "--format={{.Command}}"]);
        all.contains(&format!("sleep {seconds}"))
    };
    assert!(sleeps());
    building.abort();
    wait_until("the engine has stopped the step", || (!sleeps()).then_some(()));
}

#[test]
fn an_image_of_the_lab_is_built_on_whoever_took_its_name() {
    let mut yard = Yard::new("build-known");
    let (base, ours) = (format!("{}/base:1", yard.name), yard.image("base:1"));
    let id = yard.engine.docker(["images", "--no-trunc", "--quiet", &base]);
    let id = Digest::parse(id.trim()).unwrap();
    yard.engine.docker(["tag", &base, &format!("{}/kept:1", yard.name)]);
    yard.known.insert(ours.clone(), id);
    let import = format!("tar -c -T /dev/null | docker import - {base}");
    let thief = Run::of(&Cmd::new("sh").arg("-c").arg(import), Path::new("/")).ok();
    let (built, _) = yard.built(&yard.source());
    assert_eq!(built.inputs.bases[&ours], Some(id));
    yard.engine.docker(["rmi", thief.trim()]);
    yard.known.insert(ours, Digest::of("never made"));
    let error = yard.build(&yard.source()).0.unwrap_err().to_string();
    assert!(error.contains("does not have"), "{error}");
}

#[test]
fn a_base_that_the_lock_file_pins_is_the_one_that_is_built_on() {
    let mut yard = Yard::new("build-pins");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
    let (address, folder) = (format!("127.0.0.1:{port}"), yard.folder.join("registry"));
    yard.write(
        "config.yml",
        &format!("version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {folder} }} }}\n"),
    );
    let serve = Cmd::new("docker-registry").arg("serve").arg("config.yml");
    let serve = serve.env("REGISTRY_HTTP_ADDR", &address);
    let _registry = Running::start(&serve, yard.folder.as_std_path());
    wait_until("the registry answers", || TcpStream::connect(&address).ok());
    yard.write(".dockerignore", "registry");

    let (first, name) = (format!("{}/base:1", yard.name), format!("{address}/e2e-build-pins/base:7"));
    let id = |name: &str| yard.engine.docker(["inspect", "--format={{.Id}}", name]);
    let push = |from: &str| {
        yard.engine.docker(["tag", from, &name]);
        yard.engine.docker(["push", &name]);
        let known = yard.engine.docker(["inspect", "--format={{index .RepoDigests 0}}", &name]);
        Digest::parse(known.trim().rsplit('@').next().unwrap()).unwrap()
    };
    let digest = push(&first);
    let (pinned, second) = (id(&first), format!("{}/second:1", yard.name));
    yard.write("Dockerfile", &format!("FROM {first}\nRUN echo 2 > /second\n"));
    yard.built(&yard.source());
    yard.engine.docker(["tag", &format!("{}/web:latest", yard.name), &second]);
    push(&second);
    assert_ne!(id(&name), pinned);

    yard.write("Dockerfile", &format!("FROM {name}\nRUN ls -A /\n"));
    let base = ImageName::parse(&name).unwrap();
    yard.pins.insert(base.clone(), digest);
    let id_of = |built: &Built| built.inputs.bases[&base].map(|id| id.to_string());
    let (built, _) = yard.built(&yard.source());
    assert_eq!(id_of(&built).as_deref(), Some(pinned.trim()), "it came from the registry, and is another");
    yard.engine.docker(["rmi", &name]);
    let (built, _) = yard.built(&yard.source());
    assert_eq!(id_of(&built).as_deref(), Some(pinned.trim()), "it was not there");
    let local = Run::of(
        &Cmd::new("sh").arg("-c").arg(format!("tar -cP /bin/sh | docker import - {name}")),
        Path::new("/"),
    );
    yard.write("Dockerfile", &format!("FROM {name}\nENV A=b\n"));
    let (built, output) = yard.built(&yard.source());
    assert_eq!(id_of(&built).as_deref(), Some(local.ok().as_str()), "who made it meant it");
    assert!(output.contains("not what lab.lock says"), "{output}");
    // What is built on an image has to go before it.
    let engine = yard.engine.clone();
    drop(yard);
    let reference = format!("--filter=reference={address}/*/*");
    for image in engine.docker(["images", "--quiet", &reference]).lines() {
        drop(engine.try_docker(["rmi", "--force", image]));
    }
}
