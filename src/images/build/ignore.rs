//! `.dockerignore`: which files of a folder are no part of it for a build.

use super::glob::{Glob, clean};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{pattern}` is not a pattern")]
pub struct BadPattern {
    line: usize,
    pattern: String,
}

/// The patterns of one file, in its order: the last that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// Whether it takes back what rules before it said.
    is_exception: bool,
    glob: Glob,
}

/// Which rules match a folder, and so all that is in it.
#[derive(Debug, Clone, Default)]
pub struct Matched(Vec<bool>);

impl Ignore {
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            // A comment begins with the line: behind a space, `#` is the beginning of a name.
            let pattern = line.trim();
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let (is_exception, wanted) = match pattern.strip_prefix('!') {
                Some(wanted) => (true, wanted.trim()),
                None => (false, pattern),
            };
            let bad = || BadPattern { line: number, pattern: pattern.to_owned() };
            if wanted.is_empty() {
                return Err(bad());
            }
            let wanted = clean(wanted);
            let wanted = wanted.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&wanted);
            let glob = Glob::parse(wanted).map_err(|_| bad())?;
            rules.push(Rule { is_exception, glob });
        }
        Ok(Self { rules })
    }

    /// Returns whether a path is ignored, and what to ask with for what is in it. `parent` is what came
    /// out for the folder that it is in; at the top, the default.
    pub fn look(&self, path: &str, parent: &Matched) -> (bool, Matched) {
        let mut is_ignored = false;
        let mut matched = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let matches = parent.0.get(index).copied().unwrap_or(false) || rule.glob.matches(path);
            if matches {
                is_ignored = !rule.is_exception;
            }
            matched.push(matches);
        }
        (is_ignored, Matched(matched))
    }

    /// Returns whether something in an ignored folder may not be ignored.
    pub fn may_except_below(&self, folder: &str) -> bool {
        self.rules.iter().any(|rule| rule.is_exception && rule.glob.may_match_below(folder))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asks for every folder on the way, as a walk does.
    fn is_ignored(ignore: &Ignore, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let start = (false, Matched::default());
        ends.fold(start, |(_, parent), end| ignore.look(&path[..end], &parent)).0
    }

    #[track_caller]
    fn check(text: &str, ignored: &[&str], kept: &[&str]) {
        let ignore = Ignore::parse(text).unwrap();
        for path in ignored {
            assert!(is_ignored(&ignore, path), "{text:?} is to ignore {path}");
        }
        for path in kept {
            assert!(!is_ignored(&ignore, path), "{text:?} is to keep {path}");
        }
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        check("*.md\n!README.md", &["a.md"], &["README.md", "x/a.md"]);
        check("*.md\n!README*.md\nREADME-secret.md", &["a.md", "README-secret.md"], &["README.md"]);
        check("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README.md", "README-secret.md"]);
        check("!a\n*", &["a"], &[]);
        check("*\n!src\nsrc/secret", &["a", "src/secret", "src/secret/deep"], &["src", "src/a/b"]);
        check("docs\n!docs/README.md", &["docs", "docs/a"], &["docs/README.md"]);
        check("**\n!a/b", &["a", "a/c"], &["a/b", "a/b/c/d"]);
    }

    #[test]
    fn a_rule_for_a_folder_is_one_for_all_in_it() {
        check("a", &["a", "a/b", "a/b/c"], &["ab", "b/a"]);
        check("a/b", &["a/b", "a/b/c"], &["a", "a/c"]);
        check("*/temp*", &["x/temp/y/z"], &["temp"]);
        check("**/node_modules", &["web/node_modules/x/y"], &["web/x"]);
    }

    #[test]
    fn lines_are_read_as_docker_reads_them() {
        check("# a\n\n  b  \n\t", &["b"], &["a", "# a"]);
        check(" # a", &["# a"], &["a"]);
        check("/a\n//b/\nc/\n./d\n e/../f", &["a", "b", "c", "d", "f"], &["e", "x/a"]);
        check("\u{feff}a\r\nb\r\n", &["a", "b"], &[]);
        check("*\n! a ", &["b"], &["a"]);
        check("*\n!/a", &["b"], &["a"]);
        check(".\n/\n..", &[], &["a", ".a"]);
        check("a # b", &["a # b"], &["a"]);
        check("", &[], &["a"]);
    }

    #[test]
    fn what_is_no_pattern_is_told_with_its_line() {
        let told = |text: &str| Ignore::parse(text).unwrap_err().to_string();
        assert_eq!(told("a\n!"), "line 2: `!` is not a pattern");
        assert_eq!(told("[a"), "line 1: `[a` is not a pattern");
    }

    #[test]
    fn an_ignored_folder_is_entered_for_an_exception() {
        let may = |text: &str, folder: &str| Ignore::parse(text).unwrap().may_except_below(folder);
        assert!(may("*\n!a/b", "a"));
        assert!(may("*\n!**/b", "x/y"));
        assert!(!may("*\n!a/b", "b"));
        assert!(!may("a/b", "a"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[\n!#*/\\[\\] \t\r])*", path in "[a-c/]{1,10}") {
            if let Ok(ignore) = Ignore::parse(&text) {
                is_ignored(&ignore, &path);
                ignore.may_except_below(&path);
            }
        }

        #[test]
        fn what_is_kept_is_found_by_a_walk(text in "([!]?[ab*/]{1,5}\n){1,5}", path in "[ab](/[ab]){0,3}") {
            if let Ok(ignore) = Ignore::parse(&text) && !is_ignored(&ignore, &path) {
                for (at, _) in path.match_indices('/') {
                    prop_assert!(!is_ignored(&ignore, &path[..at]) || ignore.may_except_below(&path[..at]));
                }
            }
        }
    }
}
