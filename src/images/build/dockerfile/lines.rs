//! Parts a Dockerfile into instructions: comments, directives, lines that go on, and texts within.

use super::BadDockerfile;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Where it begins, counted from 1.
    pub(super) line: usize,
    /// Upper-case.
    pub(super) name: String,
    /// All that follows, in one line.
    pub(super) rest: String,
}

/// What may be set in comments at the top.
const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// Returns the escape character and all instructions.
pub(super) fn instructions(text: &str) -> Result<(char, Vec<Instruction>), BadDockerfile> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let escape = escape(&lines)?;
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let first = at;
        let (mut whole, mut goes_on) = part(lines[at].trim_start(), escape);
        at += 1;
        if is_comment(lines[first]) || (whole.trim().is_empty() && !goes_on) {
            continue;
        }
        while goes_on && at < lines.len() {
            // A comment or an empty line does not end what goes on around it.
            if !is_comment(lines[at]) && !lines[at].trim().is_empty() {
                let (more, goes_on_further) = part(lines[at], escape);
                whole += &more;
                goes_on = goes_on_further;
            }
            at += 1;
        }
        let whole = whole.trim();
        let (name, rest) = whole.split_once(char::is_whitespace).unwrap_or((whole, ""));
        let instruction =
            Instruction { line: first + 1, name: name.to_uppercase(), rest: rest.trim().to_owned() };
        at = behind_texts(&instruction, &lines, at);
        found.push(instruction);
    }
    Ok((escape, found))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Returns the escape character, which a comment at the very top may change.
fn escape(lines: &[&str]) -> Result<char, BadDockerfile> {
    let directives = lines.iter().zip(1..).map_while(|(line, number)| {
        let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
        let key = key.trim().to_lowercase();
        DIRECTIVES.contains(&key.as_str()).then(|| (number, key, value.trim()))
    });
    let mut chosen = directives.filter(|(_, key, _)| key == "escape");
    match chosen.next() {
        None | Some((_, _, "\\")) => Ok('\\'),
        Some((_, _, "`")) => Ok('`'),
        Some((line, ..)) => Err(BadDockerfile::Escape { line }),
    }
}

/// Returns a line without the character at its end that says that it goes on.
fn part(line: &str, escape: char) -> (String, bool) {
    let without = line.trim_end_matches([' ', '\t']).strip_suffix(escape);
    match without.filter(|without| !without.ends_with(escape)) {
        Some(without) => (without.to_owned(), true),
        None => (line.to_owned(), false),
    }
}

/// Returns the line behind the texts that an instruction has in itself, as in `RUN <<EOF`. A text that
/// never ends is none: an old builder would not look for its end either.
fn behind_texts(instruction: &Instruction, lines: &[&str], from: usize) -> usize {
    let may_have_texts = ["RUN", "COPY", "ADD"].contains(&instruction.name.as_str());
    if !may_have_texts || instruction.rest.starts_with('[') {
        return from;
    }
    let mut at = from;
    for (ends, may_be_indented) in instruction.rest.split_whitespace().filter_map(marker) {
        let is_end = |line: &&str| {
            let line = if may_be_indented { line.trim_start_matches('\t') } else { line };
            line == ends
        };
        match lines[at..].iter().position(is_end) {
            Some(count) => at += count + 1,
            None => return from,
        }
    }
    at
}

/// Reads `<<EOF`, `<<-EOF` or `3<<"EOF"`.
fn marker(word: &str) -> Option<(&str, bool)> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, may_be_indented) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let unquoted = ['"', '\''].iter().find_map(|quote| rest.strip_prefix(*quote)?.strip_suffix(*quote));
    let name = unquoted.unwrap_or(rest);
    (!name.is_empty() && !name.contains('<')).then_some((name, may_be_indented))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[(usize, &str, &str)]) {
        let (_, found) = instructions(text).unwrap();
        let found: Vec<(usize, &str, &str)> =
            found.iter().map(|one| (one.line, one.name.as_str(), one.rest.as_str())).collect();
        assert_eq!(found, want, "{text:?}");
    }

    #[test]
    fn lines_become_instructions() {
        check("", &[]);
        check("# nothing\n\n", &[]);
        check("from a\r\n  Run b  \r\n", &[(1, "FROM", "a"), (2, "RUN", "b")]);
        check("\u{feff}FROM\ta", &[(1, "FROM", "a")]);
        check("RUN a \\\n  b \\  \n c\nX", &[(1, "RUN", "a   b  c"), (4, "X", "")]);
        check("RUN a \\\n# FROM b\n\n  # c\n d", &[(1, "RUN", "a  d")]);
        check("RUN a \\\\\nFROM b", &[(1, "RUN", "a \\\\"), (2, "FROM", "b")]);
        check("FROM \\\na", &[(1, "FROM", "a")]);
        check("FROM a \\", &[(1, "FROM", "a")]);
    }

    #[test]
    fn the_escape_character_may_be_changed_at_the_top_only() {
        check("# escape=`\nRUN a `\n b\\\nFROM c", &[(2, "RUN", "a  b\\"), (4, "FROM", "c")]);
        check("#syntax=x\n# Escape = `\nRUN a`\nb", &[(3, "RUN", "ab")]);
        check("# note\n# escape=`\nRUN a\\\nb", &[(3, "RUN", "ab")]);
        assert_eq!(instructions("# escape=x\n"), Err(BadDockerfile::Escape { line: 1 }));
    }

    #[test]
    fn what_stands_in_texts_is_no_instruction() {
        check("RUN <<EOF\nFROM a\nEOF\nFROM b", &[(1, "RUN", "<<EOF"), (4, "FROM", "b")]);
        check(
            "COPY <<-\"A\" 3<<B /x\nFROM a\n\tA\nFROM b\nB\nX",
            &[(1, "COPY", "<<-\"A\" 3<<B /x"), (6, "X", "")],
        );
        check("RUN <<EOF\nFROM b", &[(1, "RUN", "<<EOF"), (2, "FROM", "b")]);
        check("RUN [\"<<EOF\"]\nFROM b\nEOF", &[(1, "RUN", "[\"<<EOF\"]"), (2, "FROM", "b"), (3, "EOF", "")]);
        check("LABEL a=<<EOF\nFROM b\nEOF", &[(1, "LABEL", "a=<<EOF"), (2, "FROM", "b"), (3, "EOF", "")]);
    }
}
