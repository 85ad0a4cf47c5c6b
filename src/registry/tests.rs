//! The client against a registry as Debian ships it, and against servers that misbehave.

use std::time::Duration;

use tokio::sync::mpsc;

use super::fixture::{Registry, Sample, USER, hasty};
use super::rogue::{Answer, Asked, Rogue};
use super::{Chunk, Client, Error, Found, Patience, WantedBlob, host_platform};
use crate::fs::{self, Access};
use crate::model::image::{Digest, ImageName, Platform, media};

fn client() -> Client {
    Client::with_patience(None, hasty())
}

fn amd64() -> Platform {
    Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
}

fn sample() -> Sample {
    Sample::new("amd64", &[b"one", b"two"])
}

async fn resolve(name: &ImageName) -> Result<Digest, Error> {
    client().resolve(name, &amd64()).await.map(|resolved| resolved.digest)
}

/// Fetches a blob and returns all that comes of it.
async fn fetch(
    client: &Client,
    name: &ImageName,
    blob: WantedBlob,
    have: u64,
) -> (Vec<u8>, Result<(), Error>) {
    let (to, mut from) = mpsc::channel(1);
    let taking = async {
        let mut taken = Vec::new();
        while let Some(Chunk::Bytes(bytes)) = from.recv().await {
            taken.extend_from_slice(&bytes);
        }
        taken
    };
    let sending = async {
        let fetched = client.fetch(name, blob, have, &to).await;
        drop(to);
        fetched
    };
    tokio::join!(taking, sending)
}

fn wanted(blob: &[u8]) -> WantedBlob {
    WantedBlob { digest: Digest::of(blob), size: Some(blob.len() as u64) }
}

/// Serves one blob as it is told to.
async fn with_blob(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Rogue, Client) {
    let rogue =
        Rogue::start(move |asked| if asked.path == "/v2/" { Answer::ok("") } else { answer(asked) }).await;
    (rogue, client())
}

#[tokio::test]
async fn names_are_resolved_by_tag_digest_and_platform() {
    let registry = Registry::start().await;
    let (amd, arm) = (sample(), Sample::new("arm64", &[b"arm"]).of_docker());
    let amd_digest = registry.push("a/app:amd", &amd).await;
    let arm_digest = registry.push("a/app:arm", &arm).await;
    let index = Sample::index(&[("amd64", &amd), ("arm64", &arm)]);
    let index_digest = registry.push_manifest("a/app:all", media::OCI_INDEX, index).await;
    for (name, platform, pin, found) in [
        (registry.name("a/app:amd"), "amd64", amd_digest, amd_digest),
        (registry.name("a/app:arm"), "amd64", arm_digest, arm_digest),
        (registry.name("a/app:all"), "amd64", index_digest, amd_digest),
        (registry.name("a/app:all"), "arm64", index_digest, arm_digest),
        (registry.name("a/app").pinned(index_digest), "arm64", index_digest, arm_digest),
        (registry.name("a/app").pinned(amd_digest), "arm64", amd_digest, amd_digest),
    ] {
        let platform = Platform { architecture: platform.to_owned(), ..amd64() };
        let resolved = client().resolve(&name, &platform).await.unwrap();
        let Found::Image { descriptor, bytes, .. } = resolved.found else { panic!("{name}") };
        assert_eq!((resolved.digest, descriptor.digest), (pin, found), "{name}");
        assert_eq!(Digest::of(bytes), found);
    }
    let riscv = Platform { architecture: "riscv64".to_owned(), ..amd64() };
    let error = client().resolve(&registry.name("a/app:all"), &riscv).await.unwrap_err();
    assert!(
        error.to_string().ends_with("not there for linux/riscv64; there is linux/amd64, linux/arm64"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let registry = Registry::start().await;
    registry.push("app:1", &sample()).await;
    for name in [registry.name("app:2"), registry.name("ap:1"), registry.name("app").pinned(Digest::of("x"))]
    {
        let error = resolve(&name).await.unwrap_err();
        assert!(
            matches!(error, Error::NotFound { .. }) && error.to_string().contains(&name.familiar()),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("spelling"));
    }
}

#[tokio::test]
async fn a_password_of_docker_login_opens_a_locked_registry() {
    let registry = Registry::start_locked().await;
    let digest = registry.push("app:1", &sample()).await;
    let name = registry.name("app:1");
    let error = resolve(&name).await.unwrap_err();
    assert!(matches!(error, Error::Login { .. }), "{error}");
    assert!(error.hint().unwrap().contains(&format!("docker login {}", name.registry())));
    assert_eq!(USER, ("lab", "secret"));
    let config = registry.docker_config("bGFiOnNlY3JldA==");
    let resolved = Client::new(Some(&config)).resolve(&name, &amd64()).await.unwrap();
    assert_eq!(resolved.digest, digest);
    let config = registry.docker_config("bGFiOndyb25n");
    let error = Client::new(Some(&config)).resolve(&name, &amd64()).await.unwrap_err();
    assert!(matches!(error, Error::WrongPassword { .. }), "{error}");
}

#[tokio::test]
async fn an_image_of_schema_1_is_known_by_the_digest_of_what_was_signed() {
    let registry = Registry::start().await;
    registry.push("new:1", &sample().of_docker()).await;
    let signed = registry.as_schema1("new:1").await;
    let rogue = Rogue::start(move |asked| match asked.path.as_str() {
        "/v2/" => Answer::ok(""),
        _ => Answer::ok(signed.clone()).header("content-type", media::DOCKER_SCHEMA1_SIGNED),
    })
    .await;
    let resolved = client().resolve(&rogue.name("new:1"), &amd64()).await.unwrap();
    let Found::Schema1(manifest) = resolved.found else { panic!("it is of schema 1") };
    assert_eq!((manifest.digest(), manifest.blobs().len()), (resolved.digest, 2));
    let pinned = rogue.name("new").pinned(resolved.digest);
    assert_eq!(resolve(&pinned).await.unwrap(), resolved.digest);
    let other = rogue.name("new").pinned(Digest::of("other"));
    assert!(matches!(resolve(&other).await, Err(Error::WrongDigest { .. })));
}

#[tokio::test]
async fn a_token_is_fetched_for_the_scope_and_used_again() {
    let manifest = sample().manifest();
    let rogue = Rogue::start(move |asked| {
        let host = asked.header("host").to_owned();
        match asked.path.split('?').next().unwrap() {
            "/v2/" => Answer::new(401, ""),
            "/token" => Answer::ok(r#"{"access_token":"t1"}"#),
            _ if asked.header("authorization") == "Bearer t1" => Answer::ok(manifest.clone()),
            _ => Answer::new(401, "").header(
                "www-authenticate",
                &format!("Bearer realm=\"http://{host}/token?a=b\",service=\"the registry\""),
            ),
        }
    })
    .await;
    let (client, name) = (client(), rogue.name("a/app:1"));
    client.resolve(&name, &amd64()).await.unwrap();
    client.resolve(&name, &amd64()).await.unwrap();
    let tokens = rogue.asked("/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/token?a=b&service=the+registry&scope=repository%3Aa%2Fapp%3Apull");
    assert_eq!(tokens[0].header("authorization"), "");
    assert_eq!(rogue.asked("/manifests/").len(), 3);
}

#[tokio::test]
async fn an_identity_token_is_exchanged_and_a_password_is_sent_to_the_token_server_alone() {
    let manifest = sample().manifest();
    let rogue = Rogue::start(move |asked| match asked.path.split('?').next().unwrap() {
        "/v2/" => Answer::ok(""),
        "/token" => Answer::ok(r#"{"token":"t1"}"#),
        _ if asked.header("authorization") == "Bearer t1" => Answer::ok(manifest.clone()),
        _ => Answer::new(401, "")
            .header("www-authenticate", &format!("Bearer realm=\"http://{}/token\"", asked.header("host"))),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let config = camino::Utf8Path::from_path(dir.path()).unwrap().join("config.json");
    for login in [r#"{"identitytoken":"i&1"}"#, r#"{"auth":"bGFiOnNlY3JldA=="}"#] {
        fs::write(&config, format!("{{\"auths\":{{\"{}\":{login}}}}}", rogue.host), Access::Private).unwrap();
        Client::new(Some(&config)).resolve(&rogue.name("app:1"), &amd64()).await.unwrap();
    }
    let [identity, password] = rogue.asked("/token").try_into().unwrap();
    assert!(identity.body.contains("grant_type=refresh_token&refresh_token=i%261&"), "{}", identity.body);
    assert_eq!(password.header("authorization"), "Basic bGFiOnNlY3JldA==");
    assert!(
        rogue.asked("/manifests/").iter().all(|asked| !asked.header("authorization").starts_with("Basic"))
    );
}

#[tokio::test]
async fn statuses_are_told_apart_and_what_may_pass_is_asked_again() {
    for (status, tries, says) in [
        (401, 1, "of a kind that lab does not know"),
        (403, 1, "does not let this user have"),
        (404, 1, "has no `"),
        (418, 1, "answers 418"),
        (429, 4, "answers 429"),
        (500, 4, "answers 500"),
        (503, 4, "answers 503"),
    ] {
        let body = r#"{"errors":[{"code":"X","message":"because"}]}"#;
        let (rogue, client) = with_blob(move |_| Answer::new(status, body)).await;
        let error = client.resolve(&rogue.name("app:1"), &amd64()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(says) && (status == 401 || text.ends_with(": because")), "{text}");
        assert_eq!(error.hint().is_some(), ![401, 418].contains(&status), "{text}");
        assert_eq!(rogue.asked("/manifests/").len(), tries, "{text}");
    }
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let manifest = sample().manifest();
    let (rogue, client) = with_blob(move |asked| match asked.before {
        0 => Answer::new(429, "").header("retry-after", "0"),
        1 => Answer::new(500, "oops"),
        2 => Answer::ok(manifest.clone()).cut(20),
        _ => Answer::ok(manifest.clone()),
    })
    .await;
    client.resolve(&rogue.name("app:1"), &amd64()).await.unwrap();
    assert_eq!(rogue.asked("/manifests/").len(), 4);
}

#[tokio::test]
async fn a_blob_goes_on_where_it_was_cut_or_stalled() {
    let blob: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let served = blob.clone();
    let (rogue, client) = with_blob(move |asked| {
        let answer = Answer::range(asked, &served);
        match asked.before {
            0 => answer.cut(150_000),
            1 => answer.stall(100_000),
            _ => answer,
        }
    })
    .await;
    let (got, fetched) = fetch(&client, &rogue.name("a"), wanted(&blob), 0).await;
    fetched.unwrap();
    assert!(got == blob);
    let from: Vec<usize> = rogue.asked("/blobs/").iter().map(Asked::from).collect();
    assert_eq!(from, [0, 150_000, 250_000]);
}

#[tokio::test]
async fn what_came_is_skipped_if_a_server_begins_anew() {
    let blob = vec![7; 50_000];
    let served = blob.clone();
    let (rogue, client) = with_blob(move |asked| {
        if asked.before == 0 { Answer::ok(served.clone()).cut(30_000) } else { Answer::ok(served.clone()) }
    })
    .await;
    let (got, fetched) = fetch(&client, &rogue.name("a"), wanted(&blob), 10).await;
    fetched.unwrap();
    assert!(got == blob[10..]);
    assert_eq!(rogue.asked("/blobs/")[1].from(), 30_000);
}

#[tokio::test]
async fn a_server_that_always_cuts_at_the_same_place_is_given_up() {
    let blob = vec![7; 3 << 20];
    let served = blob.clone();
    let (rogue, client) = with_blob(move |_| Answer::ok(served.clone()).cut(2 << 20)).await;
    let (got, fetched) = fetch(&client, &rogue.name("a"), wanted(&blob), 0).await;
    let error = fetched.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }) && error.hint().unwrap().contains("goes on"), "{error}");
    assert_eq!(got.len(), 2 << 20);
    assert_eq!(rogue.asked("/blobs/").len(), 4);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (rogue, client) = with_blob(|_| Answer::ok("x").stall(0)).await;
    let (_, fetched) = fetch(&client, &rogue.name("a"), wanted(b"x"), 0).await;
    assert!(fetched.unwrap_err().to_string().contains("broke off while it was asked for the blob sha256:"));
    assert_eq!(rogue.asked("/blobs/").len(), 4);
}

#[tokio::test]
async fn a_blob_of_another_length_is_told() {
    let check = async |answer: fn() -> Answer, got: u64| {
        let (rogue, client) = with_blob(move |_| answer()).await;
        let (_, fetched) = fetch(&client, &rogue.name("a"), wanted(b"wanted"), 0).await;
        let error = fetched.unwrap_err();
        assert!(matches!(error, Error::WrongLength { wanted: 6, got: told, .. } if told == got), "{error}");
        assert!(error.to_string().contains(&Digest::of("wanted").to_string()));
        assert_eq!(rogue.asked("/blobs/").len(), 1);
    };
    check(|| Answer::ok("wan"), 3).await;
    check(|| Answer::ok("wanted and more"), 15).await;
    // Without a length, only the end tells.
    check(|| Answer::ok("8\r\nwanted!!\r\n0\r\n\r\n").header("transfer-encoding", "chunked"), 8).await;
}

#[tokio::test]
async fn a_blob_whose_length_nobody_knows_ends_with_its_answer() {
    let (rogue, client) = with_blob(|asked| match asked.from() {
        0 => Answer::ok("blob"),
        4 => Answer::new(416, "").header("content-range", "bytes */4"),
        _ => Answer::new(416, "").header("content-range", "bytes */3"),
    })
    .await;
    let blob = WantedBlob { digest: Digest::of("blob"), size: None };
    let name = rogue.name("a");
    let (got, fetched) = fetch(&client, &name, blob, 0).await;
    fetched.unwrap();
    assert_eq!(got, b"blob");
    let (got, fetched) = fetch(&client, &name, blob, 4).await;
    fetched.unwrap();
    assert!(got.is_empty());
    let (_, fetched) = fetch(&client, &name, blob, 5).await;
    assert!(matches!(fetched, Err(Error::WrongLength { .. })));
}

#[tokio::test]
async fn who_is_sent_elsewhere_keeps_its_password_to_itself() {
    let store = Rogue::start(|asked| match asked.before {
        // The address was good for a while only.
        0 => Answer::new(403, "expired"),
        _ => Answer::ok("blob"),
    })
    .await;
    let place = format!("http://{}/stored?signature=x", store.host);
    let (rogue, _) = with_blob(move |asked| match asked.header("authorization") {
        "" => Answer::new(401, "").header("www-authenticate", "Basic"),
        _ => Answer::new(307, "").header("location", &place),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let config = camino::Utf8Path::from_path(dir.path()).unwrap().join("config.json");
    let text = format!(r#"{{"auths":{{"{}":{{"auth":"bGFiOnNlY3JldA=="}}}}}}"#, rogue.host);
    fs::write(&config, text, Access::Private).unwrap();
    let client = Client::with_patience(Some(&config), hasty());
    let (got, fetched) = fetch(&client, &rogue.name("a"), wanted(b"blob"), 0).await;
    fetched.unwrap();
    assert_eq!(got, b"blob");
    let asked = store.asked("/stored");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.header("authorization").is_empty()));
}

#[tokio::test]
async fn a_manifest_that_is_another_is_refused() {
    let (manifest, other) = (sample().manifest(), Digest::of("other"));
    let (rogue, client) =
        with_blob(move |_| Answer::ok(manifest.clone()).header("docker-content-digest", &other.to_string()))
            .await;
    for name in [rogue.name("a"), rogue.name("a").pinned(other)] {
        let error = client.resolve(&name, &amd64()).await.unwrap_err();
        assert!(matches!(error, Error::WrongDigest { digest, .. } if digest == other), "{error}");
    }
}

#[tokio::test]
async fn what_is_endless_or_no_image_is_refused() {
    let long = vec![b' '; (4 << 20) + 1];
    let (rogue, client) = with_blob(move |asked| match asked.path.as_str() {
        "/v2/a/manifests/long" => Answer::ok(long.clone()),
        "/v2/a/manifests/html" => Answer::ok("<html>").header("content-type", "text/html"),
        _ => Answer::ok("{\"schemaVersion\":2}").header("content-type", "application/x; charset=utf-8"),
    })
    .await;
    let error = async |tag: &str| {
        let name = rogue.name(&format!("a:{tag}"));
        client.resolve(&name, &amd64()).await.unwrap_err()
    };
    assert!(matches!(error("long").await, Error::TooLong { .. }));
    assert!(matches!(error("html").await, Error::Manifest { .. }));
    let other = error("other").await;
    assert!(
        matches!(&other, Error::NotAnImage { media_type, .. } if media_type == "application/x"),
        "{other}"
    );
}

#[tokio::test]
async fn an_index_that_leads_to_itself_is_refused() {
    let (rogue, client) = with_blob(|asked| {
        let next = Digest::of(&asked.path);
        let entry = format!(
            r#"{{"mediaType":"x","digest":"{next}","size":1,"platform":{{"os":"linux","architecture":"amd64"}}}}"#
        );
        Answer::ok(format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#))
    })
    .await;
    // No index can hold its own digest, so what is found is that another came.
    let error = client.resolve(&rogue.name("a"), &amd64()).await.unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn without_a_network_the_registry_is_named_and_the_cache_is_recalled() {
    let patience = Patience { first_pause: Duration::from_millis(1), ..hasty() };
    let client = Client::with_patience(None, patience);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let name = ImageName::parse(&format!("{host}/a")).unwrap();
    let error = client.resolve(&name, &host_platform()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the registry `{host}` cannot be reached"));
    assert!(error.hint().unwrap().contains("in the cache already"));
}
