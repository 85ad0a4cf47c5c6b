//! Patterns of unit names, with the meaning that fleet gives them: those of Go's `path.Match`.

use std::fmt;

/// `*`, `?`, `[a-z]`, `[^a]` and `\` for what stands behind it; a name is matched as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    text: String,
    /// `None` for a pattern that means nothing and so matches nothing.
    parts: Option<Vec<Part>>,
    /// The beginning that stands for itself: most names are told by it.
    head: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Char(char),
    /// Any one character but a slash.
    One,
    /// Any number of characters that are no slash.
    Some,
    Class {
        is_inverted: bool,
        ranges: Vec<(char, char)>,
    },
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

impl Pattern {
    pub fn new(text: &str) -> Self {
        let parts = parse(text);
        let plain = |part: &Part| match part {
            Part::Char(c) => Some(*c),
            _ => None,
        };
        let head = parts.iter().flatten().map_while(plain).collect();
        Self { text: text.to_owned(), parts, head }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern can match anything at all.
    pub fn is_valid(&self) -> bool {
        self.parts.is_some()
    }

    pub fn matches(&self, name: &str) -> bool {
        let Some(parts) = &self.parts else { return false };
        if !name.starts_with(self.head.as_str()) {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        // Where to go on when a guess of what a star stands for was wrong: only the last star counts.
        let (mut part, mut at, mut retry) = (0, 0, None);
        loop {
            match parts.get(part) {
                Some(Part::Some) => {
                    retry = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(one) if name.get(at).is_some_and(|c| one.takes(*c)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            match retry {
                Some((star, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                    retry = Some((star, from + 1));
                    (part, at) = (star + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => c != '/',
            Self::Some => false,
            Self::Class { is_inverted, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *is_inverted
            }
        }
    }
}

fn parse(text: &str) -> Option<Vec<Part>> {
    let mut chars = text.chars().peekable();
    let mut parts = Vec::new();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Some,
            '?' => Part::One,
            '[' => class(&mut chars)?,
            '\\' => Part::Char(chars.next()?),
            c => Part::Char(c),
        });
    }
    Some(parts)
}

fn class(chars: &mut Chars) -> Option<Part> {
    let is_inverted = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Part::Class { is_inverted, ranges });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn member(chars: &mut Chars) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_go_makes_of_them() {
        for (pattern, name, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "ab", false),
            ("a?b", "aüb", true),
            ("[a-ü]*", "ä", true),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[x-]", "x", false),
            ("[a", "a", false),
            (r"a\", "a", false),
            ("web@*.service", "web@1.service", true),
            ("web@*.service", "web.service", false),
            ("**", "web", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn stars_take_no_more_time_than_letters() {
        let pattern = Pattern::new(&"a*".repeat(100));
        assert!(!pattern.matches(&("a".repeat(5000) + "/")));
    }
}
