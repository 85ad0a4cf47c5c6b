//! The command line: reads what is wanted, shows what happens. No rule of what a lab is lives here.

mod args;
mod complete;
mod context;
mod exit;
mod hint;
mod stacks;
mod table;
mod ui;
mod watch;

mod adopt;
mod box_;
mod completions;
mod cordon;
mod cp;
mod doctor;
mod down;
mod drain;
mod env;
mod exec;
mod halt;
mod images;
mod init;
mod keep;
mod logs;
mod ls;
mod machines;
mod open;
mod plan;
mod rebalance;
mod reload_images;
mod ssh;
mod ssh_config;
mod stack;
mod status;
mod uncordon;
mod unit;
mod units;
mod up;
mod validate;
mod why;

use clap::{CommandFactory, Parser};

pub use args::Args;
use args::Verb;
use context::Context;
pub use exit::Exit;

/// Reads the command line, does what it says, and returns the process's exit code.
pub fn main() -> u8 {
    clap_complete::CompleteEnv::with_factory(Args::command).complete();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return ui::usage(&error).code(),
    };
    let ui = ui::Ui::new(&args.global);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(args, &ui));
            // A command on a node or a read of a file may still be under way; it is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(exit) => exit.code(),
        Err(error) => {
            let exit = Exit::of(&error);
            ui.error(&error, exit);
            exit.code()
        }
    }
}

async fn run(args: Args, ui: &ui::Ui) -> anyhow::Result<Exit> {
    let context = Context::new(args.global, ui.clone())?;
    match args.verb {
        Verb::Up(up) => up.run(&context).await,
        Verb::Status(status) => status.run(&context).await,
        Verb::Ssh(ssh) => ssh.run(&context).await,
        Verb::Exec(exec) => exec.run(&context).await,
        Verb::Cp(cp) => cp.run(&context).await,
        Verb::Logs(logs) => logs.run(&context).await,
        Verb::Halt(halt) => halt.run(&context).await,
        Verb::Down(down) => down.run(&context).await,
        Verb::Adopt(adopt) => adopt.run(&context).await,
        Verb::Ls(ls) => ls.run(&context).await,
        Verb::Doctor(doctor) => doctor.run(&context).await,
        Verb::Init(init) => init.run(&context),
        Verb::Validate(validate) => validate.run(&context),
        Verb::Unit(unit) => unit.run(&context).await,
        Verb::Units(units) => units.run(&context).await,
        Verb::Machines(machines) => machines.run(&context).await,
        Verb::Why(why) => why.run(&context).await,
        Verb::Plan(plan) => plan.run(&context).await,
        Verb::Cordon(cordon) => cordon.run(&context).await,
        Verb::Uncordon(uncordon) => uncordon.run(&context).await,
        Verb::Drain(drain) => drain.run(&context).await,
        Verb::Rebalance(rebalance) => rebalance.run(&context).await,
        Verb::Images(images) => images.run(&context).await,
        Verb::ReloadImages(reload) => reload.run(&context).await,
        Verb::Box(box_) => box_.run(&context).await,
        Verb::Stack(stack) => stack.run(&context).await,
        Verb::Open(open) => open.run(&context).await,
        Verb::Env(env) => env.run(&context).await,
        Verb::SshConfig(ssh_config) => ssh_config.run(&context).await,
        Verb::Keep(keep) => keep.run().await,
        Verb::Completions(completions) => completions.run(&context),
    }
}
