//! Ranges of keys. An end need not be text, so both ends are bytes.

use super::base64;

/// The keys from `start` on, without `end` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Range {
    /// Returns the range of a name: all that is below it if it ends in `/`, else the key itself.
    pub fn named(name: &str) -> Self {
        if name.ends_with('/') { Self::below(name) } else { Self::exactly(name) }
    }

    pub fn exactly(key: &str) -> Self {
        let mut end = key.as_bytes().to_vec();
        end.push(0);
        Self { start: key.into(), end }
    }

    pub fn below(prefix: &str) -> Self {
        let mut end = prefix.as_bytes().to_vec();
        let Some(last) = end.last_mut() else { return Self::all() };
        // No byte of a text is the highest one, so this neither overflows nor leaves out a key.
        *last += 1;
        Self { start: prefix.into(), end }
    }

    /// Returns the range of all keys that are text. etcd has no empty key, and no text has the last byte.
    fn all() -> Self {
        Self { start: vec![0], end: vec![0xff] }
    }

    /// Returns the smallest range that holds all of these.
    pub fn over(ranges: &[Self]) -> Self {
        let start = ranges.iter().map(|range| &range.start).min();
        let end = ranges.iter().map(|range| &range.end).max();
        Self { start: start.cloned().unwrap_or_default(), end: end.cloned().unwrap_or_default() }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }

    pub(super) fn start_in_base64(&self) -> String {
        base64(&self.start)
    }

    pub(super) fn end_in_base64(&self) -> String {
        base64(&self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: &Range, inside: &[&str], outside: &[&str]) {
        for key in inside {
            assert!(range.contains(key.as_bytes()), "{range:?} lacks {key}");
        }
        for key in outside {
            assert!(!range.contains(key.as_bytes()), "{range:?} has {key}");
        }
    }

    #[test]
    fn a_name_is_a_folder_or_a_key() {
        check(&Range::named("/a/"), &["/a/", "/a/b", "/a/ü", "/a/\u{10ffff}"], &["/a", "/a0", "/b/"]);
        check(&Range::named("/a"), &["/a"], &["/a/", "/ab", "/"]);
        check(&Range::below("/a"), &["/a", "/a/", "/ab"], &["/b", "/"]);
        check(&Range::below("é"), &["é", "éa"], &["è", "ê"]);
        check(&Range::below(""), &["\u{1}", "a", "\u{10ffff}"], &[]);
    }

    #[test]
    fn a_range_over_others_is_no_wider_than_they_need() {
        let over =
            |names: &[&str]| Range::over(&names.iter().map(|name| Range::named(name)).collect::<Vec<_>>());
        check(&over(&["/c/", "/a", "/b/"]), &["/a", "/a/x", "/b/", "/c/z"], &["/", "/c0", "/d"]);
        assert_eq!(over(&["/a/", "/a/b"]), Range::named("/a/"));
        check(&over(&[]), &[], &["", "a"]);
    }
}
