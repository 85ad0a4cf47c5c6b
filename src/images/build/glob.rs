//! Patterns of a `.dockerignore`, with the meaning that Docker gives them: close to shell patterns, and
//! not in every corner what other programs make of `**`.

/// What a pattern is made of. A path is matched as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character that is no slash.
    One,
    /// `*`: any number of characters that are no slash.
    Some,
    /// `**/` or `**` before more: nothing, or anything that ends with a slash.
    Folders,
    /// `**` at the end: anything.
    Rest,
    /// `[a-z]`: one character, also a slash if it is none of those after `^`.
    Class {
        is_inverted: bool,
        ranges: Vec<(char, char)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Vec<Token>,
    /// The characters at both ends that stand for themselves: most paths are told by them.
    head: String,
    tail: String,
}

/// A pattern that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadGlob;

impl Glob {
    /// Reads a pattern that `clean` has been through.
    pub(super) fn parse(pattern: &str) -> Result<Self, BadGlob> {
        let mut chars = pattern.chars().peekable();
        let mut tokens = Vec::new();
        let mut begins_with_stars = false;
        while let Some(c) = chars.next() {
            let is_first = tokens.is_empty();
            tokens.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    let has_slash = chars.next_if_eq(&'/').is_some();
                    begins_with_stars |= is_first && !has_slash;
                    if chars.peek().is_none() { Token::Rest } else { Token::Folders }
                }
                '*' => Token::Some,
                '?' => Token::One,
                '[' => class(&mut chars)?,
                '\\' => Token::Char(chars.next().ok_or(BadGlob)?),
                c => Token::Char(c),
            });
        }
        // `**x` is the end of any path, while in `**x*` the stars are folders.
        let is_plain_after = tokens.iter().skip(1).all(|token| matches!(token, Token::Char(_)));
        if begins_with_stars && is_plain_after {
            tokens[0] = Token::Rest;
        }
        Ok(Self {
            head: plain(tokens.iter()),
            tail: plain(tokens.iter().rev()).chars().rev().collect(),
            tokens,
        })
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        if !path.starts_with(&self.head) || !path.ends_with(&self.tail) {
            return false;
        }
        let chars: Vec<char> = path.chars().collect();
        let end = chars.len();
        // For each place in the path: whether the tokens behind the one at hand match all that follows.
        let mut rest = vec![false; end + 1];
        rest[end] = true;
        for token in self.tokens.iter().rev() {
            let mut here = vec![false; end + 1];
            let mut some_folder = false;
            for at in (0..=end).rev() {
                let c = chars.get(at).copied();
                let after = c.is_some() && rest[at + 1];
                let stay = c.is_some() && here[at + 1];
                some_folder |= c == Some('/') && after;
                here[at] = match token {
                    Token::Char(wanted) => after && c == Some(*wanted),
                    Token::One => after && c != Some('/'),
                    Token::Class { is_inverted, ranges } => {
                        let is_in = |c| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                        after && c.is_some_and(|c| is_in(c) != *is_inverted)
                    }
                    Token::Some => rest[at] || (stay && c != Some('/')),
                    Token::Rest => rest[at] || stay,
                    Token::Folders => rest[at] || some_folder,
                };
            }
            rest = here;
        }
        rest[0]
    }

    /// Returns whether something below this folder may match.
    pub(super) fn may_match_below(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        let is_exact = self.head.chars().count() == self.tokens.len();
        self.head.starts_with(&inside) || (!is_exact && inside.starts_with(&self.head))
    }
}

fn plain<'a>(tokens: impl Iterator<Item = &'a Token>) -> String {
    let char = |token: &Token| match token {
        Token::Char(c) => Some(*c),
        _ => None,
    };
    tokens.map_while(char).collect()
}

/// Reads what follows a `[`, by the rules of Go: `]` and `-` stand for themselves behind a backslash only.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, BadGlob> {
    let is_inverted = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let from = member(chars)?;
        let to = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { from };
        ranges.push((from, to));
    }
    Ok(Token::Class { is_inverted, ranges })
}

fn member(chars: &mut impl Iterator<Item = char>) -> Result<char, BadGlob> {
    match chars.next() {
        None | Some('-' | ']') => Err(BadGlob),
        Some('\\') => chars.next().ok_or(BadGlob),
        Some(c) => Ok(c),
    }
}

/// Returns the shortest path that means the same, without looking at any file.
pub(super) fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    match (is_rooted, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for path in yes {
            assert!(glob.matches(path), "`{pattern}` is to match `{path}`");
        }
        for path in no {
            assert!(!glob.matches(path), "`{pattern}` is not to match `{path}`");
        }
    }

    #[test]
    fn stars_stay_in_their_folder_unless_there_are_two() {
        check("a.txt", &["a.txt"], &["a_txt", "b/a.txt", "a.txt/b"]);
        check("*", &["a", ".a", ""], &["a/b"]);
        check("*.go", &["a.go", ".go"], &["a.gox", "x/a.go"]);
        check("*/temp*", &["x/temp", "x/temporary.txt"], &["temp", "x/y/temp"]);
        check("*/*/temp*", &["x/y/temp.txt"], &["x/temp"]);
        check("temp?", &["tempa", "temp☺"], &["temp", "tempab", "temp/"]);
        check("**", &["a", "a/b", "a/b/c.txt"], &[]);
        check("**/*.go", &["a.go", "x/a.go", "x/y/a.go"], &["a.c", "a.go/x"]);
        check("**/node_modules", &["node_modules", "x/node_modules"], &["my_node_modules", "node_modules/x"]);
        check("**end", &["end", "trend", "x/trend"], &["ends"]);
        check("**en*", &["end", "x/end"], &["trend"]);
        check("a/**", &["a/b", "a/b/c"], &["a", "ab/c"]);
        check("a**", &["a", "ab", "ab/c"], &["ba"]);
        check("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["az", "a/bz", "z"]);
        check("a**/z", &["az", "a/z", "ab/z", "a/b/c/z"], &["abz"]);
        check("x*/**", &["x/a", "xy/a/b"], &["x", "y/a"]);
        check("**/**/*.txt", &["a.txt", "x/y/z/a.txt"], &["a.txt2"]);
        check("(a|b).{c}+$^", &["(a|b).{c}+$^"], &["a"]);
    }

    #[test]
    fn classes_and_backslashes_are_those_of_go() {
        check("a[b-d]e", &["ace"], &["ae", "aae", "aze"]);
        check("a[^b-d]e", &["aze", "a/e"], &["ace"]);
        check(r"a\*b", &["a*b"], &["ab", "axb"]);
        check(r"a\\", &[r"a\"], &["a"]);
        check(r"[\]\-x]", &["]", "-", "x"], &[r"\", "y"]);
        check("[☀-☺]", &["☺"], &["a"]);
        check("[[!]", &["[", "!"], &["a"]);
        check("]", &["]"], &[]);
        for bad in ["[", "[^", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[bc", "a[", r"a\", r"[\"] {
            assert_eq!(Glob::parse(bad), Err(BadGlob), "{bad}");
        }
    }

    #[test]
    fn a_folder_is_entered_if_something_in_it_may_match() {
        #[track_caller]
        fn check(pattern: &str, folder: &str, want: bool) {
            assert_eq!(Glob::parse(pattern).unwrap().may_match_below(folder), want, "{pattern} {folder}");
        }
        check("a/b/c", "a", true);
        check("a/b/c", "a/b", true);
        check("a/b/c", "a/b/c", false);
        check("a/b/c", "ab", false);
        check("a/b", "a/c", false);
        check("a/*/c", "a/x", true);
        check("a/*/c", "b", false);
        check("**/c", "any/where", true);
        check("a*", "ab", true);
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, want) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../a/..", ".."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("**/", "**"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "\\PC*|[]\\[ab*?/\\\\^-]{0,12}", path in "\\PC*|[ab/]{0,12}") {
            if let Ok(glob) = Glob::parse(&clean(&pattern)) {
                glob.matches(&path);
                glob.may_match_below(&path);
            }
        }

        #[test]
        fn a_path_matches_itself(path in "[a-z./]{1,20}") {
            prop_assert!(Glob::parse(&path).unwrap().matches(&path));
        }

        #[test]
        fn what_matches_below_a_folder_is_looked_for(pattern in "[ab*/]{1,8}", path in "[ab]{1,2}(/[ab]{1,2}){1,3}") {
            let glob = Glob::parse(&clean(&pattern)).unwrap();
            for (at, _) in path.match_indices('/') {
                prop_assert!(!glob.matches(&path) || glob.may_match_below(&path[..at]));
            }
        }
    }
}
