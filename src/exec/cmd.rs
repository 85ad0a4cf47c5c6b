//! A command as a value: what to run, with no opinion on where.

use std::fmt;

/// A program and its arguments. Printed, it is a line that can be pasted into a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    is_env_clean: bool,
}

impl Cmd {
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), is_env_clean: false }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives the program no variables but those named by [`Self::env`].
    #[must_use]
    pub fn clean_env(self) -> Self {
        Self { is_env_clean: true, ..self }
    }

    pub fn is_env_clean(&self) -> bool {
        self.is_env_clean
    }

    pub fn program(&self) -> &str {
        &self.program
    }

    pub fn arguments(&self) -> &[String] {
        &self.args
    }

    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_env_clean {
            write!(f, "env -i ")?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quote(value))?;
        }
        write!(f, "{}", quote(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quote(arg)))
    }
}

/// Quotes a word for a POSIX shell. A NUL, which no argument can hold, is dropped.
pub fn quote(word: &str) -> String {
    let clean = word.replace('\0', "");
    shlex::try_quote(&clean).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cmd: &Cmd, want: &str) {
        assert_eq!(cmd.to_string(), want);
        let words = shlex::split(&cmd.to_string()).expect("a shell can read it");
        assert_eq!(words.last(), cmd.arguments().last().or(Some(&cmd.program)));
    }

    #[test]
    fn a_command_prints_as_a_line_for_the_shell() {
        check(&Cmd::new("true"), "true");
        check(&Cmd::new("systemctl").arg("is-active").arg("docker"), "systemctl is-active docker");
        check(&Cmd::new("echo").arg("a b").arg("it's"), "echo 'a b' \"it's\"");
        check(&Cmd::new("init").clean_env().env("A", "b c"), "env -i A='b c' init");
        check(&Cmd::new("echo").arg("$(rm -rf /)").arg(""), "echo '$(rm -rf /)' ''");
    }
}
