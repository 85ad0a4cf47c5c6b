//! What is wrong with a file, where it is, and how both are shown.

use std::fmt;
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};

/// Long lines are shown in part, with this much before and after the place.
const AROUND: usize = 60;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: Utf8PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// What to do, where the message alone does not tell.
    pub hint: Option<String>,
    excerpt: Excerpt,
}

/// The line of the file and the part of it to point at, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    from: usize,
    width: usize,
}

/// All that is wrong with a file, in its order; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Problems(Vec<Problem>);

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

impl Problems {
    /// Returns an error if there is anything wrong.
    pub(super) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub fn hint(&self) -> Option<String> {
        self.0.iter().find_map(|problem| problem.hint.clone())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Problem {
    /// Says that the bytes in `span` of `text` are wrong. Any span will do, also one outside of the text.
    pub(super) fn new(path: &Utf8Path, text: &str, span: Range<usize>, message: &str) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let column = text[line_start..start].chars().count();
        Self {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: column + 1,
            message: printable(message),
            suggestion: None,
            hint: None,
            excerpt: Excerpt::new(line, column, text[start..end].chars().count()),
        }
    }

    #[must_use]
    pub(super) fn suggest(self, suggestion: Option<impl Into<String>>) -> Self {
        Self { suggestion: suggestion.map(|text| printable(&text.into())), ..self }
    }

    #[must_use]
    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }
}

impl Excerpt {
    /// Cuts a long line down to what stands around the place.
    fn new(line: &str, column: usize, width: usize) -> Self {
        let skipped = column.saturating_sub(AROUND);
        let text: String = line.chars().skip(skipped).take(2 * AROUND).map(one_cell).collect();
        let from = column - skipped;
        let rest = text.chars().count().saturating_sub(from);
        Self { text, from, width: width.min(rest).max(1) }
    }
}

/// Nothing from a file may move the cursor: the caret would point elsewhere, or worse.
fn one_cell(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        let Excerpt { text, from, width } = &self.excerpt;
        if text.trim().is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        write!(
            f,
            "\n  {number} | {}\n  {margin} | {}{}",
            text.trim_end(),
            " ".repeat(*from),
            "^".repeat(*width)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(text: &str, span: Range<usize>) -> Problem {
        Problem::new(Utf8Path::new("lab.toml"), text, span, "bad")
    }

    #[track_caller]
    fn check(text: &str, span: Range<usize>, want: &str) {
        assert_eq!(problem(text, span).to_string(), want);
    }

    #[test]
    fn the_caret_points_at_the_place() {
        check("a = 1\nbc = 2\n", 6..8, "lab.toml:2:1: bad\n  2 | bc = 2\n    | ^^");
        check("ü = x", 5..6, "lab.toml:1:5: bad\n  1 | ü = x\n    |     ^");
        check("\ta = 1\r\n", 1..2, "lab.toml:1:2: bad\n  1 |  a = 1\n    |  ^");
        check("a = \"x\ny\"", 4..9, "lab.toml:1:5: bad\n  1 | a = \"x\n    |     ^^");
        check("a = \u{1b}[31m", 4..5, "lab.toml:1:5: bad\n  1 | a = \u{fffd}[31m\n    |     ^");
        check("a =", 99..120, "lab.toml:1:4: bad\n  1 | a =\n    |    ^");
        check("", 0..0, "lab.toml:1:1: bad");
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let shown = problem(&text, 5000..5001).to_string();
        assert!(shown.starts_with("lab.toml:1:5001: bad\n"), "{shown}");
        assert!(shown.len() < 300, "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }

    #[test]
    fn problems_are_told_in_the_order_of_the_file() {
        let text = "a\nb\nc d";
        let all = vec![problem(text, 6..7), problem(text, 4..5), problem(text, 0..1)];
        let problems = Problems::check(all).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(1, 1), (3, 1), (3, 3)]);
        assert_eq!(Problems::check(Vec::new()), Ok(()));
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(text in "\\PC*|[\t\r\nä😀 x]{0,40}", start in 0..99usize, end in 0..99usize) {
            let shown = problem(&text, start..end).to_string();
            prop_assert!(shown.lines().count() <= 3);
        }
    }
}
