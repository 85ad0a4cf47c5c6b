//! `lab keep`: runs a program for another `lab`, and ends it in order when that one is gone. For no one to type.

use camino::Utf8PathBuf;
use clap::Args as ClapArgs;

use super::exit::Exit;
use crate::exec::{self, Cmd};

#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Write here what the program says
    #[arg(long, env = "LAB_LOG", value_name = "FILE")]
    log: Utf8PathBuf,
    /// Hold this lock while the program runs
    #[arg(long, env = "LAB_HELD", value_name = "FILE")]
    held: Utf8PathBuf,
    /// The program with its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<Exit> {
        let Some((program, args)) = self.command.split_first() else { return Ok(Exit::Usage) };
        let cmd = Cmd::new(program).args(args.iter().cloned());
        let code = exec::keep(&cmd, &self.log, &self.held).await?;
        Ok(Exit::Command(u8::try_from(code).unwrap_or(1)))
    }
}
