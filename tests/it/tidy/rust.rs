//! Reads Rust as far as the rules need it: words and signs with their lines, and the paths they make.

/// A word, a `::` or another single sign. Comments and what stands in quotes are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, found: Vec::new() };
    while lexer.step() {}
    lexer.found
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.line += taken.matches('\n').count();
        self.rest = rest;
    }

    fn push(&mut self, bytes: usize) {
        self.found.push(Token { text: self.rest[..bytes].to_owned(), line: self.line });
        self.take(bytes);
    }

    fn step(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return false };
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if rest.starts_with("//") {
            self.take(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.take(block_comment(rest));
        } else if let Some(length) = quoted(rest) {
            self.take(length);
        } else if let Some(length) = character(rest) {
            self.take(length);
        } else if word > 0 {
            self.push(word);
        } else if rest.starts_with("::") {
            self.push(2);
        } else if first.is_whitespace() {
            self.take(first.len_utf8());
        } else {
            self.push(first.len_utf8());
        }
        true
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (opens, closes) = (text[at..].starts_with("/*"), text[at..].starts_with("*/"));
        depth += i32::from(opens) - i32::from(closes);
        at += if opens || closes { 2 } else { text[at..].chars().next().map_or(1, char::len_utf8) };
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of a string literal of any kind that the text begins with.
fn quoted(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| text.starts_with(prefix))?;
    let fences = text[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let body = prefix.len() + fences + 1;
    if !text[body - 1..].starts_with('"') || (fences > 0 && !prefix.contains('r')) {
        return None;
    }
    if prefix.contains('r') {
        let end = format!("\"{}", "#".repeat(fences));
        return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
    }
    let mut is_escaped = false;
    let end = text[body..].find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    Some(end.map_or(text.len(), |at| body + at + 1))
}

/// Returns the length of a character literal, or of the sign of a lifetime.
fn character(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    if let Some(escape) = rest.strip_prefix('\\') {
        return escape.get(1..)?.find('\'').map(|at| at + 4);
    }
    let first = rest.chars().next()?.len_utf8();
    Some(if rest[first..].starts_with('\'') { first + 2 } else { 1 })
}

/// A path as it is written, each branch of a group on its own: `use a::{b, c::d}` makes two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub words: Vec<String>,
    pub line: usize,
    /// The inline modules that it stands in, as `tests` does.
    pub inside: Vec<String>,
    pub is_import: bool,
}

/// Returns all paths of a file that have more than one word or are imports.
pub fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut reader = Reader { tokens, at: 0, inside: Vec::new(), depth: 0, found: Vec::new() };
    while reader.at < tokens.len() {
        reader.item();
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Inline modules, with the depth of braces at which each ends.
    inside: Vec<(String, usize)>,
    depth: usize,
    found: Vec<Path>,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn item(&mut self) {
        match self.text(0) {
            "mod" if self.text(2) == "{" => {
                self.inside.push((self.text(1).to_owned(), self.depth));
                self.depth += 1;
                self.at += 3;
            }
            "use" => {
                self.at += 1;
                self.tree(&[], true);
            }
            "{" => {
                self.depth += 1;
                self.at += 1;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.inside.retain(|(_, depth)| *depth < self.depth);
                self.at += 1;
            }
            text if is_word(text) && self.text(1) == "::" => self.tree(&[], false),
            "::" if is_word(self.text(1)) => self.tree(&[], false),
            _ => self.at += 1,
        }
    }

    /// Reads a path from where the reader stands, with all branches of its groups.
    fn tree(&mut self, before: &[String], is_import: bool) {
        let mut words = before.to_vec();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" if is_import => return self.group(&words),
                "*" if is_import => {
                    words.push("*".to_owned());
                    self.at += 1;
                }
                text if is_word(text)
                    && (words.len() == before.len() || self.tokens[self.at - 1].text == "::") =>
                {
                    words.push(text.to_owned());
                    self.at += 1;
                }
                _ => break,
            }
        }
        let line = self.tokens.get(self.at.saturating_sub(1)).map_or(0, |token| token.line);
        let inside = self.inside.iter().map(|(name, _)| name.clone()).collect();
        self.found.push(Path { words, line, inside, is_import });
    }

    fn group(&mut self, before: &[String]) {
        self.at += 1;
        while !matches!(self.text(0), "}" | "") {
            match self.text(0) {
                "," => self.at += 1,
                "as" => self.at += 2,
                _ => self.tree(before, true),
            }
        }
        self.at += 1;
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
