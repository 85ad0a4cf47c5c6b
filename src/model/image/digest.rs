//! SHA-256 digests, by which everything in a store is known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// `sha256:` and 64 lower-case digits; the only algorithm that images are found with in practice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: `sha256:` and 64 digits of 0-9 and a-f are expected")]
pub struct BadDigest(String);

impl Digest {
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        text.strip_prefix("sha256:").and_then(Self::from_hex).ok_or_else(|| BadDigest(text.to_owned()))
    }

    /// Reads the digits alone, as file names have them.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 64 || !digits.bytes().all(is_hex) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn hex(&self) -> String {
        crate::model::node::hex(&self.0)
    }

    /// Returns the digits that people are shown.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// Returns the chain id of a layer on top of others, as Docker counts it.
    #[must_use]
    pub fn chained(parent: Option<&Self>, diff_id: &Self) -> Self {
        parent.map_or(*diff_id, |parent| Self::of(format!("{parent} {diff_id}")))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Counts bytes that go by, and hashes them.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    hash: Sha256,
    bytes: u64,
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn finish(self) -> Digest {
        Digest(self.hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        assert_eq!(Digest::of("").to_string(), EMPTY);
        assert_eq!(Digest::parse(EMPTY).unwrap(), Digest::of(""));
        assert_eq!(Digest::from_hex(&EMPTY[7..]).unwrap().short(), "e3b0c44298fc");
        for bad in ["", "sha256:", &EMPTY[7..], &EMPTY[..70], &EMPTY.to_uppercase(), "sha512:00", "sha256:é"]
        {
            assert!(Digest::parse(bad).unwrap_err().to_string().contains(bad));
        }
    }

    #[test]
    fn a_chain_begins_with_its_first_layer() {
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        assert_eq!(Digest::chained(None, &a), a);
        assert_eq!(Digest::chained(Some(&a), &b), Digest::of(format!("{a} {b}")));
    }

    #[test]
    fn a_hasher_counts() {
        let mut hasher = Hasher::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!((hasher.bytes(), hasher.finish()), (3, Digest::of("abc")));
    }
}
