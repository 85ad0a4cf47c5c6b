//! What `docker login` left: passwords and tokens in Docker's configuration, or in a keychain that a
//! helper program opens.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use serde::Deserialize;

use super::Error;
use super::place::{HUB, HUB_KEY};
use crate::exec::{self, Cmd};
use crate::fs;

/// Docker's configuration, as far as it is about registries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Credentials {
    auths: BTreeMap<String, Login>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Login {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(…)")
    }
}

/// What to prove with who is asking.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Password {
        user: String,
        password: String,
    },
    /// Token servers give a token for it.
    Identity(String),
    /// Is itself what the registry wants.
    Bearer(String),
}

/// What a helper program prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    username: String,
    secret: String,
}

impl Credentials {
    /// Reads Docker's configuration; one that is not there has nothing.
    pub(super) fn load(path: &Utf8Path) -> Result<Self, Error> {
        match fs::read_if_present(path)? {
            Some(text) => {
                Self::parse(&text).map_err(|source| Error::Config { path: path.to_owned(), source })
            }
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        if text.trim().is_empty() { Ok(Self::default()) } else { serde_json::from_str(text) }
    }

    /// Returns what is known for a registry. A helper that fails is no reason not to ask as nobody: its
    /// error matters only if that will not do.
    pub(super) async fn find(&self, registry: &str) -> (Option<Secret>, Option<exec::Error>) {
        match self.helper(registry) {
            Some(helper) => match ask(&program(helper), &self.key(registry)).await {
                Ok(secret) => (secret, None),
                Err(error) => (None, Some(error)),
            },
            None => (self.written(registry), None),
        }
    }

    fn helper(&self, registry: &str) -> Option<&str> {
        let own =
            self.cred_helpers.iter().find(|(key, _)| is_for(key, registry)).map(|(_, name)| name.as_str());
        own.or(Some(self.creds_store.as_str())).filter(|name| !name.is_empty())
    }

    /// Returns what helpers are to be asked for: as it was written down, if it was.
    fn key(&self, registry: &str) -> String {
        let written = self.auths.keys().find(|key| is_for(key, registry)).cloned();
        written.unwrap_or_else(|| if registry == HUB { HUB_KEY.to_owned() } else { registry.to_owned() })
    }

    fn written(&self, registry: &str) -> Option<Secret> {
        let exact = if registry == HUB { HUB_KEY } else { registry };
        let by_host = || self.auths.iter().find(|(key, _)| is_for(key, registry)).map(|(_, login)| login);
        self.auths.get(exact).or_else(by_host)?.secret()
    }
}

impl Login {
    fn secret(&self) -> Option<Secret> {
        if !self.registrytoken.is_empty() {
            return Some(Secret::Bearer(self.registrytoken.clone()));
        }
        if !self.identitytoken.is_empty() {
            return Some(Secret::Identity(self.identitytoken.clone()));
        }
        let packed = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let both = packed.as_deref().and_then(|text| text.split_once(':'));
        // Docker once padded passwords with zeros.
        let (user, password) = both.unwrap_or((&self.username, &self.password));
        let (user, password) = (user.to_owned(), password.trim_end_matches('\0').to_owned());
        (!user.is_empty()).then_some(Secret::Password { user, password })
    }
}

/// Returns whether a key of the configuration means a registry: it may be a URL, of any age.
fn is_for(key: &str, registry: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = bare.split('/').next().unwrap_or_default();
    host == registry || (registry == HUB && ["index.docker.io", "registry-1.docker.io"].contains(&host))
}

fn program(helper: &str) -> Cmd {
    Cmd::new(format!("docker-credential-{helper}")).arg("get")
}

async fn ask(cmd: &Cmd, key: &str) -> Result<Option<Secret>, exec::Error> {
    let output = match exec::run(cmd, key.as_bytes()).await {
        // They say on standard output that they know nothing, and on standard error what went wrong.
        Err(exec::Error::Failed { stderr, .. }) if stderr.trim().is_empty() => return Ok(None),
        other => other?,
    };
    let Ok(kept) = serde_json::from_slice::<Kept>(&output.stdout) else { return Ok(None) };
    Ok(match kept.username.as_str() {
        "" => None,
        "<token>" => Some(Secret::Identity(kept.secret)),
        _ => Some(Secret::Password { user: kept.username, password: kept.secret }),
    })
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Access;

    fn password(user: &str, password: &str) -> Secret {
        Secret::Password { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn what_docker_login_wrote_is_found_by_host() {
        let text = r#"{
            "auths": {
                "https://index.docker.io/v1/": {"auth": "aHVi OnNlY3JldA=="},
                "127.0.0.1:5000": {"auth": "bWU6YTpiAA=="},
                "https://old.example/v1/": {"username": "old", "password": "p"},
                "token.example": {"auth": "eDp5", "identitytoken": "idt"},
                "ready.example": {"registrytoken": "bt"},
                "broken.example": {"auth": "!"},
                "empty.example": {}
            },
            "HttpHeaders": {}
        }"#;
        let found = Credentials::parse(&text.replace("aHVi ", "aHVi")).unwrap();
        for (registry, want) in [
            ("docker.io", Some(password("hub", "secret"))),
            ("127.0.0.1:5000", Some(password("me", "a:b"))),
            ("127.0.0.1:5001", None),
            ("old.example", Some(password("old", "p"))),
            ("token.example", Some(Secret::Identity("idt".to_owned()))),
            ("ready.example", Some(Secret::Bearer("bt".to_owned()))),
            ("broken.example", None),
            ("empty.example", None),
        ] {
            assert_eq!(found.written(registry), want, "{registry}");
        }
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn a_configuration_may_be_absent_or_empty_but_not_broken() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("config.json");
        assert!(Credentials::load(&path).unwrap().auths.is_empty());
        fs::write(&path, " \n", Access::Private).unwrap();
        assert!(Credentials::load(&path).unwrap().auths.is_empty());
        fs::write(&path, "{", Access::Private).unwrap();
        let error = Credentials::load(&path).unwrap_err();
        assert!(error.to_string().contains(path.as_str()) && error.hint().unwrap().contains("log in again"));
    }

    #[test]
    fn a_helper_of_its_own_goes_before_the_store_for_all() {
        let text = r#"{"credsStore": "all", "credHelpers": {"a.example": "own", "b.example": ""}}"#;
        let found = Credentials::parse(text).unwrap();
        assert_eq!(found.helper("a.example"), Some("own"));
        assert_eq!(found.helper("b.example"), None);
        assert_eq!(found.helper("docker.io"), Some("all"));
        assert_eq!(found.key("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(found.key("a.example"), "a.example");
    }

    /// Asks a helper that is this script.
    async fn told(script: &str) -> Result<Option<Secret>, exec::Error> {
        ask(&Cmd::new("sh").arg("-c").arg(script), "a.example").await
    }

    #[tokio::test]
    async fn helpers_tell_passwords_and_tokens() {
        let said =
            r#"read -r key; echo "{\"ServerURL\":\"$key\",\"Username\":\"me\",\"Secret\":\"for $key\"}""#;
        assert_eq!(told(said).await.unwrap(), Some(password("me", "for a.example")));
        let token = r#"echo '{"ServerURL":"","Username":"<token>","Secret":"idt"}'"#;
        assert_eq!(told(token).await.unwrap(), Some(Secret::Identity("idt".to_owned())));
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_is_fine_and_one_that_fails_is_told() {
        assert_eq!(told("echo credentials not found in native keychain; exit 1").await.unwrap(), None);
        assert!(told("echo the keychain is locked >&2; exit 1").await.is_err());
        let missing = Credentials { creds_store: "no-such".to_owned(), ..Credentials::default() };
        let (secret, error) = missing.find("a.example").await;
        assert_eq!((secret, error.unwrap().is_program_missing()), (None, true));
        assert_eq!(program("pass").to_string(), "docker-credential-pass get");
    }
}
