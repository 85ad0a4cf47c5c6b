//! `lab box`

use camino::Utf8PathBuf;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::args::Output;
use super::context::{Context, this_program};
use super::exit::Exit;
use crate::images::box_image::Format;
use crate::ops::{BoxOrder, box_build};

#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a box from Debian packages, unless it is there, and give it to Vagrant
    Build(Build),
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Needs no network but a mirror of Debian packages. The box has all that a node needs, so that machines\n\
    made from it are nodes within seconds. What it takes is told if it is missing."
)]
struct Build {
    /// For whose machines
    #[arg(long, env = "LAB_FORMAT", value_enum, default_value_t = Wanted::All, value_name = "FORMAT")]
    format: Wanted,
    /// Put boxes and their catalogue into this folder instead of the cache
    #[arg(long, env = "LAB_OUT", value_name = "FOLDER")]
    out: Option<Utf8PathBuf>,
    /// What Vagrant is to call the box
    #[arg(long, env = "LAB_NAME", default_value = "lab/node", value_name = "NAME", value_parser = box_name)]
    name: String,
    /// Make the box and do not give it to Vagrant
    #[arg(long, env = "LAB_NO_ADD")]
    no_add: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Libvirt,
    Virtualbox,
    All,
}

impl Wanted {
    fn formats(self) -> &'static [Format] {
        match self {
            Self::Libvirt => &[Format::Libvirt],
            Self::Virtualbox => &[Format::Virtualbox],
            Self::All => &[Format::Libvirt, Format::Virtualbox],
        }
    }
}

fn box_name(text: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(is_plain)
    };
    let is_name = text.split_once('/').is_some_and(|(owner, name)| is_word(owner) && is_word(name));
    if is_name { Ok(text.to_owned()) } else { Err("a name such as `lab/node` is expected".to_owned()) }
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Build(build) => build.run(context).await,
        }
    }
}

impl Build {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        context.stop_on_signals();
        let order = BoxOrder {
            formats: self.format.formats(),
            out: &self.out.unwrap_or_else(|| context.dirs.cache().join("boxes")),
            name: &self.name,
            labd: &context.labd()?,
            keeper: &this_program()?,
            vagrant_home: context.dirs.vagrant_home(),
            add_to_vagrant: !self.no_add,
        };
        let made = box_build(&order, &context.ui.progress(), &context.stop).await?;
        if self.output.is_json() {
            context.ui.print_json(&made)?;
        } else {
            let line = |made: &crate::ops::BoxMade| format!("{}\n", made.path);
            context.ui.print(&made.iter().map(line).collect::<String>());
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_has_an_owner_and_a_name() {
        for (text, want) in [
            ("lab/node", true),
            ("a.b-c/d_1", true),
            ("node", false),
            ("a/b/c", false),
            ("/b", false),
            ("../b", false),
            ("a/.b", false),
        ] {
            assert_eq!(box_name(text).is_ok(), want, "{text}");
        }
    }
}
