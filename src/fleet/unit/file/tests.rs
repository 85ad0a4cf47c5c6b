//! Unit files in all their corners.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> UnitFile {
    UnitFile::parse(text).unwrap()
}

#[track_caller]
fn check(text: &str, canonical: &str) {
    let file = parsed(text);
    assert_eq!(file.text(), text);
    assert_eq!(file.canonical(), canonical);
    // What was made canonical once stays as it is.
    assert_eq!(parsed(canonical).canonical(), canonical);
}

#[test]
fn the_canonical_form_has_no_comments_and_each_section_once() {
    check("[Unit]\nDescription=a\n", "[Unit]\nDescription=a\n");
    check(
        "# head\n[Unit]\n; no\n  Description =  a b \n\n[Service]\nExecStart=/bin/x\n[Unit]\nAfter=b\n",
        "[Unit]\nDescription=a b\nAfter=b\n\n[Service]\nExecStart=/bin/x\n",
    );
    check("[Empty]\n[A]\nb=\n", "[A]\nb=\n");
    check("noise before [A]\r\nb=c\r\n", "[A]\nb=c\n");
    check("[A]\n# a comment \\\nthat=goes on\nb=c", "[A]\nb=c\n");
    check("", "");
}

#[test]
fn a_value_of_many_lines_is_kept_as_it_was_written() {
    check("[S]\nExecStart=/bin/sh \\\n   -c \\\n   true\n", "[S]\nExecStart=/bin/sh \\\n   -c \\\n   true\n");
    // A blank line ends it, and so does the end of the file.
    check("[S]\na=b \\\n\nc=d\n", "[S]\na=b \\\nc=d\n");
    assert_eq!(parsed("[S]\na=b\\").options()[0].value, "b\\");
    assert_eq!(parsed(&format!("[S]\na={}\n", "x".repeat(9000))).options()[0].value.len(), 9000);
}

#[test]
fn the_hash_is_that_of_the_canonical_text() {
    // As `sha1sum` prints it of the second text.
    let want = "7757a19b83edfc3eb350602807ba404af4633bfc";
    let (loose, strict) = ("# c\n[Unit]\nDescription = hello\n", "[Unit]\nDescription=hello\n");
    assert_eq!(parsed(loose).hash(), parsed(strict).hash());
    assert_eq!(parsed(loose).hash().as_str(), want);
    let from_options = UnitFile::from_options(parsed(loose).options().to_vec()).unwrap();
    assert_eq!((from_options.hash(), from_options.text()), (parsed(strict).hash(), strict));
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for (text, want) in [
        ("[Unit\nA=b\n", "line 1: unable to find end of section"),
        ("[Unit] x\n", "line 1: found garbage after section name Unit: \"x\""),
        ("[Unit]\n\nDescription\n", "line 3: unexpected newline encountered while parsing option name"),
        ("[Unit]\nDescription", "line 2: EOF"),
    ] {
        assert_eq!(UnitFile::parse(text).unwrap_err().to_string(), want);
    }
    assert!(UnitFile::parse(&"x".repeat(LONGEST + 1)).is_err());
}

#[test]
fn options_know_their_lines() {
    let text = "[A]\nx=1 \\\n 2\n# c\nx=3\n[B]\nx=4\n[A]\nx=5\n";
    let file = parsed(text);
    assert_eq!(file.values("A", "x").collect::<Vec<_>>(), [(2, "1 \\\n 2"), (5, "3"), (9, "5")]);
    let canonical = UnitFile::from_options(file.options().to_vec()).unwrap();
    assert_eq!(canonical.values("A", "x").map(|(line, _)| line).collect::<Vec<_>>(), [2, 4, 5]);
    assert_eq!(canonical.values("B", "x").map(|(line, _)| line).collect::<Vec<_>>(), [8]);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fall(text in "(\\[[A-Z]?\\]?|[ab]=?|[#;\\\\ \r\n]|x){0,40}|\\PC{0,80}") {
        if let Ok(file) = UnitFile::parse(&text) {
            prop_assert_eq!(file.text(), &text);
            let again = parsed(&file.canonical());
            prop_assert_eq!(again.hash(), file.hash());
        }
    }
}
