//! What can be typed. Every flag can also be set in the environment.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;

use super::{
    adopt, box_, complete, completions, cordon, cp, doctor, down, drain, env, exec, halt, images, init, keep,
    logs, ls, machines, open, plan, rebalance, reload_images, ssh, ssh_config, stack, status, uncordon, unit,
    units, up, validate, why,
};
use crate::model::{Bytes, LabName};
use crate::ops::units::PATIENCE;

/// Reproduce a highly available cluster on this machine: real nodes with systemd, Docker and etcd
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    version,
    max_term_width = 100,
    infer_subcommands = true,
    disable_help_subcommand = false
)]
#[command(after_help = "No file is needed: `lab up` makes a lab of three nodes, named after the folder.\n\
    A flag wins over the environment, the environment over lab.toml.\n\
    Exit codes: 0 done, 1 failed, 2 bad usage or file, 3 not healthy, 4 not found, 5 locked,\n\
    6 something is missing on this host, 7 timed out, 8 not confirmed, 130 interrupted.")]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// Work on this lab instead of the one that is named in lab.toml or after the folder
    #[arg(short, long, global = true, env = "LAB_LAB", value_name = "NAME")]
    #[arg(add = ArgValueCandidates::new(complete::labs))]
    pub lab: Option<LabName>,
    /// Read this file instead of the nearest lab.toml
    #[arg(long, global = true, env = "LAB_FILE", value_name = "PATH")]
    pub file: Option<Utf8PathBuf>,
    /// Show progress this way; `auto` is `tty` on a terminal and `plain` elsewhere
    #[arg(long, global = true, env = "LAB_PROGRESS", value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub progress: ProgressMode,
    /// Wait this many seconds for another lab command to finish
    #[arg(long, global = true, env = "LAB_WAIT_LOCK", value_name = "SECONDS", value_parser = seconds)]
    pub wait_lock: Option<Duration>,
    /// Show what tools print on the way
    #[arg(short, long, global = true, env = "LAB_VERBOSE")]
    pub verbose: bool,
    /// Drop images that no lab uses when the cache grows beyond this size, as in 20GiB
    #[arg(long, global = true, env = "LAB_CACHE_LIMIT", value_name = "SIZE")]
    pub cache_limit: Option<Bytes>,
    /// Use the Docker engine at this address instead of the one that DOCKER_HOST names
    #[arg(long, global = true, env = "LAB_DOCKER_HOST", value_name = "URL")]
    pub docker_host: Option<String>,
    /// Put this program on nodes as labd instead of the one beside lab
    #[arg(long, global = true, env = "LAB_LABD", value_name = "PATH", hide = true)]
    pub labd: Option<Utf8PathBuf>,
}

/// How long a verb waits for what it asked for.
#[derive(Debug, Clone, ClapArgs)]
pub struct Waiting {
    /// Give up waiting after this many seconds; 60 unless told
    #[arg(long, env = "LAB_WAIT", value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,
    /// Say what is wanted and do not wait until it is so
    #[arg(long, env = "LAB_NO_WAIT")]
    no_wait: bool,
}

impl Waiting {
    /// Returns how long to wait; `None` not to.
    pub fn limit(&self) -> Option<Duration> {
        (!self.no_wait).then(|| self.wait.unwrap_or(PATIENCE))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "a number of seconds is expected".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    Auto,
    /// One live line for each node
    Tty,
    /// A line for each change
    Plain,
    /// A JSON object for each change
    Json,
    /// Errors only
    Quiet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

/// How a verb prints its data.
#[derive(Debug, Clone, ClapArgs)]
pub struct Output {
    /// Print data this way
    #[arg(short, long, env = "LAB_OUTPUT", value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
}

impl Output {
    pub fn is_json(&self) -> bool {
        self.output == Format::Json
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make the lab what it is to be, whatever state it is in
    Up(up::Args),
    /// Show nodes, services and addresses
    #[command(visible_alias = "ps")]
    Status(status::Args),
    /// Open a shell on a node, or run a command there
    Ssh(ssh::Args),
    /// Run a command on several nodes at once
    Exec(exec::Args),
    /// Copy files and folders to a node and from it
    Cp(cp::Args),
    /// Show the journal of a node
    Logs(logs::Args),
    /// Run units, stop them, and see how they are
    Unit(unit::Args),
    /// List units, with the machines that they are on
    Units(units::Args),
    /// Look at stacks, check them, and begin new ones
    Stack(stack::Args),
    /// List machines, with what units may demand of them
    Machines(machines::Args),
    /// Tell why a unit is where it is, or nowhere
    Why(why::Args),
    /// Show where units would go if nodes died
    Plan(plan::Args),
    /// Have a node take no more units
    Cordon(cordon::Args),
    /// Have a node take units again
    Uncordon(uncordon::Args),
    /// Have a node give its units away and take no more
    Drain(drain::Args),
    /// Move units from full nodes to empty ones
    Rebalance(rebalance::Args),
    /// Look at the lab's images, and at the cache that keeps them
    Images(images::Args),
    /// Make again what changed of the images, and bring it to all nodes
    ReloadImages(reload_images::Args),
    /// Make the boxes that virtual machines boot from
    Box(box_::Args),
    /// Shut nodes down and keep all that is in them
    #[command(visible_alias = "stop")]
    Halt(halt::Args),
    /// Remove the lab with all its data
    Down(down::Args),
    /// Make machines nodes that plain `vagrant up` made
    Adopt(adopt::Args),
    /// List all labs of this host
    Ls(ls::Args),
    /// Check this host, and cure what can be cured safely
    Doctor(doctor::Args),
    /// Write a commented lab.toml
    Init(init::Args),
    /// Check lab.toml
    Validate(validate::Args),
    /// Show an address at which a stack serves in a browser
    Open(open::Args),
    /// Print what a shell needs to reach the lab, for `eval "$(lab env)"`
    Env(env::Args),
    /// Print what ssh needs to reach the nodes by name
    SshConfig(ssh_config::Args),
    /// Run a program for another lab
    #[command(hide = true)]
    Keep(keep::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        fn check(command: &clap::Command) {
            let flags = command.get_arguments().filter(|arg| !arg.is_positional());
            for flag in flags.filter(|flag| !["help", "version"].contains(&flag.get_id().as_str())) {
                let name = flag.get_long().expect("every flag has a long form");
                let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                let want = format!("LAB_{}", name.replace('-', "_").to_uppercase());
                assert_eq!(variable, want, "of `lab {} --{name}`", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Args::command());
    }
}
