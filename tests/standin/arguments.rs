//! Options as VBoxManage takes them: `--name value`, `-name value` and `--name=value`.

use crate::failure::Failure;

pub struct Arguments<'a> {
    command: &'a str,
    left: std::collections::VecDeque<&'a str>,
}

/// What comes next: an option by its name, or a word.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    Option(&'a str),
    Word(&'a str),
}

impl<'a> Arguments<'a> {
    pub fn new(command: &'a str, all: &'a [String]) -> Self {
        Self { command, left: all.iter().map(String::as_str).collect() }
    }

    pub fn next(&mut self) -> Option<Next<'a>> {
        let word = self.left.pop_front()?;
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Some(Next::Word(word)) };
        let Some((name, value)) = name.split_once('=') else { return Some(Next::Option(name)) };
        self.left.push_front(value);
        Some(Next::Option(name))
    }

    /// Returns what has to follow an option, whatever it looks like.
    pub fn value(&mut self, option: &str) -> Result<&'a str, Failure> {
        self.left.pop_front().ok_or_else(|| self.fails(format!("Missing value for option '--{option}'")))
    }

    /// Passes over what has to follow an option that means nothing here.
    pub fn skip(&mut self, option: &str) -> Result<(), Failure> {
        self.value(option).map(|_| ())
    }

    /// Returns a word that has to come next.
    pub fn word(&mut self, what: &str) -> Result<&'a str, Failure> {
        match self.next() {
            Some(Next::Word(word)) => Ok(word),
            Some(Next::Option(name)) => Err(self.unknown(name)),
            None => Err(self.fails(format!("Missing {what}"))),
        }
    }

    /// Returns the next word, unless an option comes first.
    pub fn peek(&self) -> Option<&'a str> {
        self.left.front().copied()
    }

    pub fn done(&mut self) -> Result<(), Failure> {
        match self.next() {
            None => Ok(()),
            Some(Next::Option(name)) => Err(self.unknown(name)),
            Some(Next::Word(word)) => Err(self.too_many(word)),
        }
    }

    pub fn unknown(&self, option: &str) -> Failure {
        self.fails(format!("Unknown option: --{option}"))
    }

    pub fn too_many(&self, word: &str) -> Failure {
        self.fails(format!("Invalid parameter '{word}'"))
    }

    pub fn fails(&self, message: String) -> Failure {
        Failure::usage(self.command, message)
    }
}

pub fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_may_be_written_in_three_ways() {
        #[track_caller]
        fn check(words: &[&str], option: &str, value: &str) {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let mut arguments = Arguments::new("modifyvm", &words);
            assert_eq!(arguments.next(), Some(Next::Option(option)), "{words:?}");
            assert_eq!(arguments.value(option).unwrap(), value, "{words:?}");
            assert!(arguments.done().is_ok(), "{words:?}");
        }
        check(&["--cpus", "2"], "cpus", "2");
        check(&["-cpus", "2"], "cpus", "2");
        check(&["--cpus=2"], "cpus", "2");
        check(&["--natpf1", "ssh,tcp,127.0.0.1,2222,,22"], "natpf1", "ssh,tcp,127.0.0.1,2222,,22");
        check(&["--ipv6", ""], "ipv6", "");
        check(&["--disk", "--x"], "disk", "--x");
    }

    #[test]
    fn what_is_missing_or_too_much_is_a_mistake_of_the_caller() {
        let words = ["poweroff".to_owned(), "now".to_owned()];
        let mut arguments = Arguments::new("controlvm", &words);
        assert_eq!(arguments.word("command").unwrap(), "poweroff");
        let failure = arguments.done().unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.to_string().contains("Invalid parameter 'now'"), "{failure}");
        assert_eq!(Arguments::new("x", &[]).word("machine").unwrap_err().code, 2);
    }

    #[test]
    fn a_uuid_has_five_groups_of_hexadecimal_digits() {
        assert!(is_uuid("6a0b8133-8804-4da6-8a88-0f28b6855eef"));
        assert!(!is_uuid("lab-demo-core-01"));
        assert!(!is_uuid("6a0b8133-8804-4da6-8a88-0f28b6855eeg"));
    }
}
