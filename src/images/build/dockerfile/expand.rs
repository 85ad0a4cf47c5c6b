//! Replaces arguments in a word of a Dockerfile, as a shell would: `$A`, `${A:-b}`, quotes.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Deeper than any person nests `${A:-${B:-…}}`.
const DEEPEST: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// What had no value and became nothing.
    pub(super) unset: Vec<String>,
}

/// A word that no builder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadWord;

pub(super) fn expand(
    word: &str,
    values: &BTreeMap<String, String>,
    escape: char,
) -> Result<Expanded, BadWord> {
    let mut reader = Reader { chars: word.chars().peekable(), values, escape, unset: Vec::new() };
    let text = reader.until(None, DEEPEST)?;
    Ok(Expanded { text, unset: reader.unset })
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    values: &'a BTreeMap<String, String>,
    escape: char,
    unset: Vec<String>,
}

impl Reader<'_> {
    /// Reads up to a character that is not in quotes, or to the end.
    fn until(&mut self, end: Option<char>, depth: usize) -> Result<String, BadWord> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                None if end.is_none() => return Ok(text),
                None => return Err(BadWord),
                c if c == end => return Ok(text),
                Some('\'') => text += &self.literal()?,
                Some('"') => text += &self.quoted(depth)?,
                Some('$') => text += &self.value(depth)?,
                Some(c) if c == self.escape => text.extend(self.chars.next()),
                Some(c) => text.push(c),
            }
        }
    }

    fn literal(&mut self) -> Result<String, BadWord> {
        let mut text = String::new();
        loop {
            match self.chars.next().ok_or(BadWord)? {
                '\'' => return Ok(text),
                c => text.push(c),
            }
        }
    }

    fn quoted(&mut self, depth: usize) -> Result<String, BadWord> {
        let mut text = String::new();
        loop {
            match self.chars.next().ok_or(BadWord)? {
                '"' => return Ok(text),
                '$' => text += &self.value(depth)?,
                c if c == self.escape => {
                    let escape = self.escape;
                    match self.chars.next_if(|next| ['"', '$', escape].contains(next)) {
                        Some(next) => text.push(next),
                        None => text.push(c),
                    }
                }
                c => text.push(c),
            }
        }
    }

    /// Reads what follows a `$`.
    fn value(&mut self, depth: usize) -> Result<String, BadWord> {
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braced(depth.checked_sub(1).ok_or(BadWord)?);
        }
        match self.name() {
            name if name.is_empty() => Ok("$".to_owned()),
            name => Ok(self.look_up(name)),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    fn look_up(&mut self, name: String) -> String {
        if let Some(value) = self.values.get(&name) {
            return value.clone();
        }
        self.unset.push(name);
        String::new()
    }

    fn braced(&mut self, depth: usize) -> Result<String, BadWord> {
        let name = self.name();
        if name.is_empty() {
            return Err(BadWord);
        }
        let counts_empty = self.chars.next_if_eq(&':').is_some();
        let operator = self.chars.next().ok_or(BadWord)?;
        if operator == '}' && !counts_empty {
            return Ok(self.look_up(name));
        }
        // What is not chosen must not count as missing.
        let unset = self.unset.clone();
        let word = self.until(Some('}'), depth)?;
        let value = self.values.get(&name).filter(|value| !(counts_empty && value.is_empty())).cloned();
        match (operator, value) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('-' | '?', Some(value)) => {
                self.unset = unset;
                Ok(value)
            }
            ('+', None) => {
                self.unset = unset;
                Ok(String::new())
            }
            ('?', None) => {
                self.unset.push(name);
                Ok(String::new())
            }
            _ => Err(BadWord),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> BTreeMap<String, String> {
        [("A", "a"), ("V_1", "1.2"), ("EMPTY", "")].map(|(name, value)| (name.into(), value.into())).into()
    }

    #[track_caller]
    fn check(word: &str, want: &str, unset: &[&str]) {
        let found = expand(word, &values(), '\\').unwrap();
        assert_eq!(
            (found.text.as_str(), found.unset),
            (want, unset.iter().map(|&name| name.into()).collect()),
            "{word}"
        );
    }

    #[test]
    fn arguments_are_replaced() {
        check("debian:12", "debian:12", &[]);
        check("$A:${V_1}-x", "a:1.2-x", &[]);
        check("x$NO", "x", &["NO"]);
        check("${NO:-b}${A:-b}${EMPTY:-e}${EMPTY-f}", "bae", &[]);
        check("${A:+b}${NO:+b}${EMPTY:+b}${EMPTY+c}", "bc", &[]);
        check("${NO:-${A}x${NO2:-y}}", "axy", &[]);
        check("${A:-$NO}", "a", &[]);
        check("${NO:-$NO2}", "", &["NO2"]);
        check("${A:?needed}${NO?needed}", "a", &["NO"]);
        check("$ $", "$ $", &[]);
    }

    #[test]
    fn quotes_and_escapes_go() {
        check("'$A'\"$A\"\\$A", "$Aa$A", &[]);
        check("\"a\\\"b\\$c\\d\"", "a\"b$c\\d", &[]);
        check("\"${NO:-'x'}\"", "x", &[]);
        assert_eq!(expand("a`$A", &values(), '`').unwrap().text, "a$A");
        for bad in ["'a", "\"a", "${A", "${}", "${A:}", "${A/x/y}", "${A:", &"${A:-".repeat(99)] {
            assert_eq!(expand(bad, &values(), '\\'), Err(BadWord), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word in "\\PC*|[A${}:+?'\"\\\\-]{0,40}") {
            drop(expand(&word, &values(), '\\'));
        }
    }
}
