//! `lab doctor`
use clap::Args as ClapArgs;
use super::context::Context;
use super::exit::Exit;
#[derive(Debug, ClapArgs)]
pub struct Args {}
impl Args { pub async fn run(self, _context: &Context) -> anyhow::Result<Exit> { Ok(Exit::Done) } }
