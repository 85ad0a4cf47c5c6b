//! `lab completions`

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use super::context::Context;
use super::exit::Exit;

#[derive(Debug, ClapArgs)]
#[command(after_help = "The names of nodes and labs are completed too.\n\n\
    Examples:\n  echo 'source <(lab completions bash)' >> ~/.bashrc\n  echo 'source <(lab completions zsh)' >> ~/.zshrc\n  \
    lab completions fish > ~/.config/fish/completions/lab.fish")]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl Args {
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shell: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
            Shell::Elvish => &Elvish,
            Shell::Powershell => &Powershell,
        };
        let program = std::env::current_exe().context("could not tell where this program is")?;
        let mut script = Vec::new();
        shell.write_registration("COMPLETE", "lab", "lab", &program.to_string_lossy(), &mut script)?;
        context.ui.write(&script);
        Ok(Exit::Done)
    }
}
