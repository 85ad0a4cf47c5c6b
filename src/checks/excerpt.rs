//! One line of an answer that may be long, or no text at all.

const LONGEST: usize = 100;

/// Returns where a text stands in an answer.
pub(super) fn find(said: &[u8], wanted: &str) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    said.windows(wanted.len()).position(|window| window == wanted.as_bytes())
}

/// Returns the line that has what was wanted, or the first that says anything.
pub(super) fn excerpt(said: &[u8], wanted: Option<&str>) -> String {
    let at = wanted.and_then(|wanted| find(said, wanted)).unwrap_or_default();
    let start = said[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut lines = said[start..].split(|byte| *byte == b'\n').map(readable);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn readable(line: &[u8]) -> String {
    // A line without an end may be all of a large answer.
    let line = &line[..line.len().min(LONGEST * 16)];
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(line).chars().map(shown).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        #[track_caller]
        fn check(said: &str, wanted: Option<&str>, want: &str) {
            assert_eq!(excerpt(said.as_bytes(), wanted), want);
        }
        check("", None, "");
        check("\n \r\n", None, "");
        check("\n one\r\ntwo\n", None, "one");
        check("one\ntwo: 2\nthree", Some("2"), "two: 2");
        check("one\ntwo", Some("none"), "one");
        check("a\u{1b}[1mb\tc", None, "a [1mb c");
        check(&"ä".repeat(200), None, &format!("{}…", "ä".repeat(100)));
    }

    #[test]
    fn what_is_no_text_is_shown_as_well_as_it_goes() {
        assert_eq!(excerpt(b"\xff\0ok", Some("ok")), "\u{fffd} ok");
        assert_eq!(find(b"abc", "bc"), Some(1));
        assert_eq!(find(b"a", "bc"), None);
        assert_eq!(find(b"", ""), Some(0));
    }
}
