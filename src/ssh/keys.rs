//! Key pairs, and the identity that a connection proves and expects.

use std::sync::Arc;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};

use super::Error;

/// A key pair as text, ready to be written to files.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key in the format of OpenSSH.
    pub private: String,
    /// One line: `ssh-ed25519 AAAA… comment`.
    pub public: String,
}

impl KeyPair {
    pub fn generate(comment: &str) -> Self {
        let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)
            .expect("a key of this kind is any 32 random bytes");
        key.set_comment(comment);
        Self::from_key(&key).expect("a new key can be written")
    }

    pub fn parse(private: &str) -> Result<Self, Error> {
        let key = parse_private(private)?;
        Self::from_key(&key).map_err(bad("private key"))
    }

    fn from_key(key: &PrivateKey) -> Result<Self, russh::keys::ssh_key::Error> {
        Ok(Self {
            private: key.to_openssh(LineEnding::LF)?.to_string(),
            public: key.public_key().to_openssh()?,
        })
    }
}

fn parse_private(private: &str) -> Result<PrivateKey, Error> {
    PrivateKey::from_openssh(private).map_err(bad("private key"))
}

fn bad(which: &'static str) -> impl FnOnce(russh::keys::ssh_key::Error) -> Error {
    move |source| Error::BadKey { which, source: source.into() }
}

/// The key we prove ourselves with and the one key that a node may answer with. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(super) user: Arc<PrivateKey>,
    pub(super) host: Arc<PublicKey>,
}

impl Identity {
    /// Reads the user's private key and the host's public key, the latter as one line.
    pub fn parse(user_private: &str, host_public: &str) -> Result<Self, Error> {
        let host = PublicKey::from_openssh(host_public.trim()).map_err(bad("host key"))?;
        Ok(Self { user: Arc::new(parse_private(user_private)?), host: Arc::new(host) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_survives_being_written_and_read() {
        let pair = KeyPair::generate("lab web");
        assert!(pair.private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"), "{}", pair.public);
        assert!(pair.public.starts_with("ssh-ed25519 AAAA"), "{}", pair.public);
        assert!(pair.public.ends_with(" lab web"), "{}", pair.public);
        assert!(KeyPair::parse(&pair.private).unwrap() == pair);
        assert!(KeyPair::generate("lab web") != pair, "every key is new");
    }

    #[test]
    fn a_damaged_key_is_named() {
        let pair = KeyPair::generate("lab");
        let cut = &pair.private[..pair.private.len() / 2];
        let error = KeyPair::parse(cut).err().unwrap();
        assert_eq!(error.to_string(), "could not read the private key of this lab");
        let error = Identity::parse(&pair.private, "ssh-ed25519 nonsense").err().unwrap();
        assert_eq!(error.to_string(), "could not read the host key of this lab");
    }
}
