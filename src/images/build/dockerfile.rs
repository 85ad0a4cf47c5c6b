//! What a Dockerfile builds on. Everything else in it is the builder's business.

mod expand;
mod lines;

use std::collections::BTreeMap;

use expand::{Expanded, expand};
use lines::{Instruction, instructions};

use crate::model::image::{BadImageName, ImageName};

/// An image that a Dockerfile builds on or copies from, and that is none of its own stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// As it is written, arguments replaced: it may also be the beginning of an image's id.
    pub written: String,
    pub name: ImageName,
    /// What `--platform` says.
    pub platform: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDockerfile {
    #[error("line {line}: `{written}` names no image as long as the argument `{argument}` has no value")]
    Unset { line: usize, written: String, argument: String },
    #[error("line {line}: what is to be built on")]
    Name { line: usize, source: BadImageName },
    #[error("line {line}: `{written}` cannot be read")]
    Expansion { line: usize, written: String },
    #[error("line {line}: `FROM IMAGE` or `FROM IMAGE AS NAME` is expected")]
    From { line: usize },
    #[error("line {line}: only a backslash or a backtick can be the escape character")]
    Escape { line: usize },
    #[error("it has no stage `{target}`")]
    NoStage { target: String },
    #[error("it has no `FROM`")]
    NoFrom,
}

/// Returns the images that a Dockerfile builds on, in its order and each once. Those of stages behind
/// `target` do not matter.
pub fn bases(
    text: &str,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
) -> Result<Vec<Base>, BadDockerfile> {
    let (escape, instructions) = instructions(text)?;
    let mut reader = Reader { escape, args, values: BTreeMap::new(), stages: Vec::new(), bases: Vec::new() };
    for instruction in &instructions {
        let is_from = instruction.name == "FROM";
        if is_from && target.is_some_and(|target| reader.stage(target).is_some()) {
            break;
        }
        match instruction.name.as_str() {
            "ARG" if reader.stages.is_empty() => reader.arg(instruction)?,
            "FROM" => reader.from(instruction)?,
            "COPY" => reader.copy(instruction)?,
            _ => {}
        }
    }
    if reader.stages.is_empty() {
        return Err(BadDockerfile::NoFrom);
    }
    match target.filter(|target| reader.stage(target).is_none()) {
        Some(target) => Err(BadDockerfile::NoStage { target: target.to_owned() }),
        None => Ok(reader.bases),
    }
}

struct Reader<'a> {
    escape: char,
    args: &'a BTreeMap<String, String>,
    /// Of the arguments before the first `FROM`, which are all that it knows.
    values: BTreeMap<String, String>,
    /// What the stages are called, lower-case; one without a name has an empty one.
    stages: Vec<String>,
    bases: Vec<Base>,
}

impl Reader<'_> {
    fn arg(&mut self, instruction: &Instruction) -> Result<(), BadDockerfile> {
        for word in words(&instruction.rest, self.escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.as_str(), None),
            };
            let value = match (self.args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expanded(instruction.line, default)?.text),
                (None, None) => None,
            };
            if let Some(value) = value {
                self.values.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn from(&mut self, instruction: &Instruction) -> Result<(), BadDockerfile> {
        let line = instruction.line;
        let (flags, rest) = flags(&instruction.rest);
        let (image, stage) = match rest.as_slice() {
            [image] => (*image, String::new()),
            [image, keyword, stage] if keyword.eq_ignore_ascii_case("as") => (*image, stage.to_lowercase()),
            _ => return Err(BadDockerfile::From { line }),
        };
        let platform = match flag(&flags, "platform") {
            Some(platform) => Some(self.expanded(line, platform)?.text).filter(|text| !text.is_empty()),
            None => None,
        };
        let found = self.expanded(line, image)?;
        let is_stage = self.stages.iter().any(|name| !name.is_empty() && *name == found.text.to_lowercase());
        if !is_stage {
            self.add(line, image, found, platform)?;
        }
        self.stages.push(stage);
        Ok(())
    }

    fn copy(&mut self, instruction: &Instruction) -> Result<(), BadDockerfile> {
        let (flags, _) = flags(&instruction.rest);
        match flag(&flags, "from") {
            // Nothing is replaced in it.
            Some(from) if self.stage(from).is_none() => {
                let found = Expanded { text: from.to_owned(), unset: Vec::new() };
                self.add(instruction.line, from, found, None)
            }
            _ => Ok(()),
        }
    }

    fn add(
        &mut self,
        line: usize,
        written: &str,
        found: Expanded,
        platform: Option<String>,
    ) -> Result<(), BadDockerfile> {
        if found.text == "scratch" {
            return Ok(());
        }
        let name = match (ImageName::parse(&found.text), found.unset.first()) {
            (Ok(name), _) => name,
            (Err(_), Some(argument)) => {
                let (written, argument) = (written.to_owned(), argument.clone());
                return Err(BadDockerfile::Unset { line, written, argument });
            }
            (Err(source), None) => return Err(BadDockerfile::Name { line, source }),
        };
        let base = Base { written: found.text, name, platform };
        if !self.bases.contains(&base) {
            self.bases.push(base);
        }
        Ok(())
    }

    /// Returns the stage of a name or a number.
    fn stage(&self, name: &str) -> Option<usize> {
        let named = name.to_lowercase();
        let by_name = self.stages.iter().position(|stage| !stage.is_empty() && *stage == named);
        by_name.or_else(|| name.parse().ok().filter(|number| *number < self.stages.len()))
    }

    fn expanded(&self, line: usize, word: &str) -> Result<Expanded, BadDockerfile> {
        expand(word, &self.values, self.escape)
            .map_err(|_| BadDockerfile::Expansion { line, written: word.to_owned() })
    }
}

/// Returns the flags that an instruction begins with, and the words behind them.
fn flags(rest: &str) -> (Vec<&str>, Vec<&str>) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let count = words.iter().take_while(|word| word.starts_with("--")).count();
    (words[..count].to_vec(), words[count..].to_vec())
}

fn flag<'a>(flags: &[&'a str], name: &str) -> Option<&'a str> {
    flags.iter().find_map(|flag| flag.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='))
}

/// Parts a line at its spaces, but not at those in quotes. Quotes stay.
fn words(line: &str, escape: char) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                words.push(String::new());
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        let word = words.last_mut().expect("there is always a word");
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests;
