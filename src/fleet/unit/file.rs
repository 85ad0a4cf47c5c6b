//! Unit files as fleet's clients read them. The text is kept as it is; beside it stands the canonical form, of
//! which clients compute hashes.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// One line of a unit file, in the form in which fleet's API has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitOption {
    #[serde(default)]
    pub section: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// SHA-1 of the canonical form: equal units have equal hashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    text: String,
    options: Vec<UnitOption>,
    /// The line of the text on which each option begins.
    lines: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnitFile {
    #[error("line {line}: unable to find end of section")]
    OpenSection { line: usize },
    #[error("line {line}: found garbage after section name {section}: {garbage:?}")]
    Garbage { line: usize, section: String, garbage: String },
    #[error("line {line}: unexpected newline encountered while parsing option name")]
    NoValue { line: usize },
    #[error("line {line}: EOF")]
    End { line: usize },
    #[error("the file has {length} bytes; no more than {LONGEST} are taken")]
    TooLong { length: usize },
}

/// More than any unit file has, and far below what etcd takes for one value.
const LONGEST: usize = 256 << 10;

impl UnitFile {
    pub fn parse(text: &str) -> Result<Self, BadUnitFile> {
        if text.len() > LONGEST {
            return Err(BadUnitFile::TooLong { length: text.len() });
        }
        let mut reader = Reader { rest: text, line: 1, section: String::new(), found: Vec::new() };
        reader.read()?;
        let (lines, options) = reader.found.into_iter().unzip();
        Ok(Self { text: text.to_owned(), options, lines })
    }

    /// Makes the file of which only the options are known.
    pub fn from_options(options: Vec<UnitOption>) -> Result<Self, BadUnitFile> {
        let text = canonical(&options);
        match text.len() {
            length if length > LONGEST => Err(BadUnitFile::TooLong { length }),
            _ => Ok(Self { lines: lines_of(&options), text, options }),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn options(&self) -> &[UnitOption] {
        &self.options
    }

    /// Returns the text that clients print and hash: without comments, each section once.
    pub fn canonical(&self) -> String {
        canonical(&self.options)
    }

    pub fn hash(&self) -> Hash {
        let digest = Sha1::digest(self.canonical());
        Hash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub fn description(&self) -> &str {
        self.values("Unit", "Description").next().map_or("", |(_, value)| value)
    }

    pub fn has_section(&self, section: &str) -> bool {
        self.options.iter().any(|option| option.section == section)
    }

    /// Returns the values of an option with their lines.
    pub fn values<'a>(&'a self, section: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.lines
            .iter()
            .zip(&self.options)
            .filter(move |(_, option)| option.section == section && option.name == name)
            .map(|(line, option)| (*line, option.value.as_str()))
    }
}

/// Returns sections in the order in which they are first seen.
fn sections(options: &[UnitOption]) -> Vec<&str> {
    let mut sections: Vec<&str> = Vec::new();
    for option in options {
        if !sections.contains(&option.section.as_str()) {
            sections.push(&option.section);
        }
    }
    sections
}

fn canonical(options: &[UnitOption]) -> String {
    let blocks = sections(options).into_iter().map(|section| {
        let own = options.iter().filter(|option| option.section == section);
        own.fold(format!("[{section}]\n"), |block, option| {
            format!("{block}{}={}\n", option.name, option.value)
        })
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// Returns the line of each option in the canonical form.
fn lines_of(options: &[UnitOption]) -> Vec<usize> {
    let mut lines = vec![0; options.len()];
    let mut line = 1;
    for section in sections(options) {
        line += 1;
        for (index, option) in options.iter().enumerate().filter(|(_, option)| option.section == section) {
            lines[index] = line;
            line += 1 + option.value.matches('\n').count();
        }
        line += 1;
    }
    lines
}

/// Reads as fleet's own parser does, in all its corners.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    section: String,
    found: Vec<(usize, UnitOption)>,
}

fn is_comment(c: char) -> bool {
    c == '#' || c == ';'
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), BadUnitFile> {
        // Whatever stands before the first section means nothing.
        while let Some(c) = self.next() {
            match c {
                '[' => {
                    self.section_name()?;
                    break;
                }
                c if is_comment(c) => self.comment(),
                _ => {}
            }
        }
        while let Some(c) = self.rest.chars().next() {
            match c {
                c if c.is_whitespace() => drop(self.next()),
                '[' => {
                    self.next();
                    self.section_name()?;
                }
                c if is_comment(c) => {
                    self.next();
                    self.comment();
                }
                _ => self.option()?,
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// Takes what is left of the line, without its end, and whether there was an end.
    fn rest_of_line(&mut self) -> (&'a str, bool) {
        match self.rest.split_once('\n') {
            Some((line, rest)) => {
                self.rest = rest;
                self.line += 1;
                (line, true)
            }
            None => (std::mem::take(&mut self.rest), false),
        }
    }

    fn comment(&mut self) {
        while let (line, true) = self.rest_of_line() {
            if !line.trim_end_matches(' ').ends_with('\\') {
                return;
            }
        }
    }

    fn section_name(&mut self) -> Result<(), BadUnitFile> {
        let line = self.line;
        let (name, rest) = self.rest.split_once(']').ok_or(BadUnitFile::OpenSection { line })?;
        self.line += name.matches('\n').count();
        self.rest = rest;
        name.clone_into(&mut self.section);
        let (garbage, _) = self.rest_of_line();
        match garbage.trim() {
            "" => Ok(()),
            garbage => {
                Err(BadUnitFile::Garbage { line, section: name.to_owned(), garbage: garbage.to_owned() })
            }
        }
    }

    fn option(&mut self) -> Result<(), BadUnitFile> {
        let line = self.line;
        let end = self.rest.find(['=', '\n', '\r']).ok_or(BadUnitFile::End { line })?;
        let (name, rest) = self.rest.split_at(end);
        if !rest.starts_with('=') {
            return Err(BadUnitFile::NoValue { line });
        }
        self.rest = &rest[1..];
        let value = self.value();
        let option = UnitOption { section: self.section.clone(), name: name.trim().to_owned(), value };
        self.found.push((line, option));
        Ok(())
    }

    /// A line that ends in a backslash goes on; the backslash and the end of the line are part of the value.
    fn value(&mut self) -> String {
        let mut value = String::new();
        loop {
            let (line, has_end) = self.rest_of_line();
            if line.trim().is_empty() {
                break;
            }
            value += line;
            if !line.ends_with('\\') || !has_end {
                break;
            }
            value.push('\n');
        }
        value.trim().to_owned()
    }
}

#[cfg(test)]
mod tests;
