//! Loads into an engine that only answers: a socket with what real engines say.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

/// An engine that speaks `api` and answers every request but the first with `answer`.
async fn engine(api: &str, answer: String) -> (tempfile::TempDir, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let version = json_answer(&format!(r#"{{"ApiVersion":"{api}"}}"#));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            serve(&stream, &version, &answer);
        }
    });
    let engine = Engine::connect(Some(&format!("unix://{}", socket.display()))).await.unwrap();
    (folder, engine)
}

fn serve(stream: &UnixStream, version: &str, answer: &str) {
    let mut reader = BufReader::new(stream);
    let head: Vec<String> =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let is_chunked = head.iter().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let mut body = Vec::new();
    while is_chunked && !body.ends_with(b"0\r\n\r\n") {
        if reader.read_until(b'\n', &mut body).unwrap_or(0) == 0 {
            return;
        }
    }
    let is_version = head.first().is_some_and(|line| line.contains("/version"));
    let answer = if is_version { version } else { answer };
    drop((&*stream).write_all(answer.as_bytes()));
}

fn json_answer(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn tar() -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    futures_util::stream::iter([Ok(Bytes::from_static(&[0; 1024]))])
}

async fn loaded(answer: &str) -> Result<(), Error> {
    let (_folder, engine) = engine("1.41", answer.to_owned()).await;
    engine.load_images(tar()).await
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_load_is_good_only_if_nothing_that_was_said_is_bad() {
    let fine = concat!(
        r#"{"status":"Loading layer","progressDetail":{"current":32768,"total":3072},"progress":"[=>]","id":"a"}"#,
        "\r\n",
        r#"{"stream":"Loaded image: lab:1\n"}"#,
        "\r\n"
    );
    loaded(&json_answer(fine)).await.unwrap();
    loaded(&json_answer("")).await.unwrap();

    let not_found = "HTTP/1.1 500 Oh\r\nContent-Length: 25\r\n\r\n{\"message\":\"no space oh\"}";
    let cut = &json_answer(fine)[..120];
    for (answer, told, is_gone) in [
        (not_found, "no space oh", false),
        (cut, "stopped answering", true),
        (
            &json_answer(r#"{"errorDetail":{"message":"open x: no such file"},"error":"open x"}"#),
            "open x: no such file",
            false,
        ),
        (&json_answer(r#"{"errorDetail":{"code":1}}"#), "does not say why", false),
        (
            &json_answer(
                "{\"stream\":\"Loaded image: a\\n\"}\n{\"stream\":\"Error unpacking image a: content\"}",
            ),
            "Error unpacking image a: content",
            false,
        ),
    ] {
        let error = loaded(answer).await.unwrap_err();
        assert!(causes(&error).contains(told), "{}", causes(&error));
        assert_eq!(error.is_engine_gone(), is_gone, "{error:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_not_the_fault_of_the_engine() {
    let (_folder, engine) = engine("1.41", json_answer("")).await;
    let broken = [Ok(Bytes::from_static(b"tar")), Err(io::Error::other("the blob is broken"))];
    let error = engine.load_images(futures_util::stream::iter(broken)).await.unwrap_err();
    assert!(matches!(error, Error::Fed { .. }), "{error:?}");
    assert!(causes(&error).ends_with("the blob is broken"), "{}", causes(&error));
    assert!(!error.is_engine_gone());
}

#[tokio::test]
async fn an_engine_that_takes_nothing_and_says_nothing_is_lost() {
    let pulse = Pulse::default();
    let ended = to_the_end(futures_util::stream::pending(), &pulse, Duration::from_millis(5)).await;
    assert!(matches!(ended, Err(bollard::errors::Error::RequestTimeoutError)));
}

#[tokio::test]
async fn images_are_listed_with_the_names_that_they_have() {
    let image = |id: &str, tags: &str| {
        format!(
            r#"{{"Id":"{id}","ParentId":"","RepoTags":{tags},"RepoDigests":null,"Created":1,"Size":1,
                "SharedSize":-1,"Labels":null,"Containers":-1}}"#
        )
    };
    let list = [
        image("sha256:1", r#"["redis:7","x:latest"]"#),
        image("sha256:2", r#"["<none>:<none>"]"#),
        image("sha256:3", "null"),
    ];
    let (_folder, engine) = engine("1.41", json_answer(&format!("[{}]", list.join(",")))).await;
    let found = engine.images().await.unwrap();
    let listed = |id: &str, names: &[&str]| ListedImage {
        id: id.to_owned(),
        names: names.iter().map(ToString::to_string).collect(),
    };
    let want =
        [listed("sha256:1", &["redis:7", "x:latest"]), listed("sha256:2", &[]), listed("sha256:3", &[])];
    assert_eq!(found, want);
}

#[tokio::test]
async fn layers_are_those_of_the_root_file_system() {
    let (_folder, one) =
        engine("1.41", json_answer(r#"{"RootFS":{"Type":"layers","Layers":["a","b"]}}"#)).await;
    assert_eq!(one.image_layers("x").await.unwrap().unwrap(), ["a", "b"]);
    let (_folder, empty) = engine("1.41", json_answer(r#"{"RootFS":{"Type":"layers"}}"#)).await;
    assert_eq!(empty.image_layers("x").await.unwrap().unwrap().len(), 0);
    let none = "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    let (_folder, none) = engine("1.41", none).await;
    assert_eq!(none.image_layers("x").await.unwrap(), None);
    assert!(!none.remove_image("x").await.unwrap());
    let (_folder, used) = engine("1.41", "HTTP/1.1 409 No\r\nContent-Length: 2\r\n\r\n{}".to_owned()).await;
    assert!(!used.remove_image("x").await.unwrap());
    let (_folder, gone) = engine("1.41", json_answer(r#"[{"Untagged":"x"},{"Deleted":"sha256:1"}]"#)).await;
    assert!(gone.remove_image("x").await.unwrap());
}

#[tokio::test]
async fn an_engine_is_asked_what_it_keeps_images_in() {
    let store = |driver: &str, is_containerd, is_userns_remapped| ImageStore {
        driver: driver.to_owned(),
        is_containerd,
        is_userns_remapped,
    };
    for (info, want) in [
        (
            r#"{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]],
                "SecurityOptions":["name=seccomp,profile=default"]}"#,
            store("overlay2", false, false),
        ),
        (
            r#"{"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],
                "SecurityOptions":["name=userns"]}"#,
            store("overlayfs", true, true),
        ),
        ("{}", store("", false, false)),
    ] {
        let (_folder, engine) = engine("1.41", json_answer(info)).await;
        assert_eq!(engine.image_store().await.unwrap(), want);
    }
}

#[tokio::test]
async fn an_image_is_whole_if_all_of_it_is_available() {
    let image = |manifests: &str| {
        json_answer(&format!(
            r#"[{{"Id":"sha256:1","ParentId":"","RepoTags":["x:1"],"RepoDigests":[],"Created":1,"Size":1,
                "SharedSize":-1,"Labels":{{}},"Containers":-1{manifests}}}]"#
        ))
    };
    let manifest = |kind: &str, available: bool| {
        format!(
            r#"{{"ID":"sha256:2","Descriptor":{{}},"Available":{available},"Kind":"{kind}",
                "Size":{{"Total":1,"Content":1}}}}"#
        )
    };
    let of = |manifests: &[String]| image(&format!(r#","Manifests":[{}]"#, manifests.join(",")));
    let (whole, cut) = (manifest("image", true), manifest("image", false));
    let (foreign, proof) = (manifest("unknown", false), manifest("attestation", false));
    for (api, answer, want) in [
        ("1.48", of(std::slice::from_ref(&whole)), Some(true)),
        ("1.48", of(&[whole.clone(), foreign.clone(), proof]), Some(true)),
        ("1.48", of(&[whole.clone(), cut.clone()]), Some(false)),
        ("1.48", of(&[foreign]), Some(false)),
        ("1.48", of(&[cut]), Some(false)),
        ("1.48", json_answer("[]"), Some(false)),
        ("1.48", image(""), None),
        ("1.47", of(&[whole]), None),
    ] {
        let (_folder, engine) = engine(api, answer.clone()).await;
        assert_eq!(engine.is_image_whole("x:1").await.unwrap(), want, "{answer}");
    }
}
