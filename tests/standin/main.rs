//! A stand-in for VirtualBox's `VBoxManage`: its machines are systemd containers. With a link of that name on the
//! PATH, Vagrant's own VirtualBox provider really runs, where there is no VirtualBox.
//!
//! It has what Vagrant 2.3 asks for, and refuses the rest as VirtualBox refuses a mistake.

mod appliances;
mod arguments;
mod container;
mod engine;
mod extras;
mod failure;
mod info;
mod list;
mod modify;
mod networks;
mod power;
mod random;
mod settings;
mod snapshots;
mod store;
mod vm;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use arguments::Arguments;
use engine::Engine;
use failure::Failure;
use settings::Settings;
use store::{Session, State, Store};
use vm::{Phase, Vm};

/// All that a command works with.
pub struct Context {
    settings: Settings,
    store: Store,
    engine: Engine,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Whoever reads may be gone already.
            _ = writeln!(io::stderr(), "{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let settings = Settings::from_env()?;
    let context = Context { store: Store::open(&settings)?, engine: Engine::new(&settings)?, settings };
    context.log(arguments)?;
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Failure::usage("<command>", "Missing command"));
    };
    let mut rest = Arguments::new(command, rest);
    let rest = &mut rest;
    // Those that take long by nature wait where it matters.
    if !matches!(command.as_str(), "import" | "clonevm" | "startvm" | "hostonlyif") {
        std::thread::sleep(context.settings.delay(command));
    }
    match command.as_str() {
        "--version" | "-v" | "-V" => {
            context.say(&context.settings.version);
            Ok(())
        }
        "list" => list::list(&context, rest),
        "showvminfo" => info::showvminfo(&context, rest),
        "import" => appliances::import(&context, rest),
        "clonevm" => appliances::clonevm(&context, rest),
        "unregistervm" => appliances::unregistervm(&context, rest),
        "modifyvm" => modify::modifyvm(&context, rest),
        "startvm" => power::startvm(&context, rest),
        "controlvm" => power::controlvm(&context, rest),
        "discardstate" => power::discardstate(&context, rest),
        "snapshot" => snapshots::snapshot(&context, rest),
        "hostonlyif" => networks::hostonlyif(&context, rest),
        "dhcpserver" => extras::dhcpserver(&context, rest),
        "guestproperty" => extras::guestproperty(&context, rest),
        "setextradata" => extras::setextradata(&context, rest),
        "getextradata" => extras::getextradata(&context, rest),
        "sharedfolder" => extras::sharedfolder(&context, rest),
        "storageattach" | "closemedium" | "modifymedium" | "createmedium" => Ok(()),
        other => Err(Failure::usage("<command>", format!("Invalid command '{other}'"))),
    }
}

impl Context {
    /// Says a line of data.
    pub fn say(&self, line: &str) {
        _ = writeln!(io::stdout(), "{line}");
    }

    /// Shows progress for as long as the command is to take.
    pub fn progress(&self, command: &str) {
        const PARTS: u32 = 10;
        let pause = self.settings.delay(command) / PARTS;
        for part in 0..PARTS {
            _ = write!(io::stderr(), "{}%...", part * 10);
            std::thread::sleep(pause);
        }
        _ = writeln!(io::stderr(), "100%");
    }

    /// Returns what a machine is doing now.
    pub fn phase(&self, vm: &Vm) -> Result<Phase, Failure> {
        let is_busy = matches!(vm.phase, Phase::Starting | Phase::Stopping);
        if is_busy && self.store.is_in_session(&vm.uuid)? {
            return Ok(vm.phase);
        }
        self.settled_phase(vm)
    }

    /// Returns what a machine is doing that nobody else works on.
    pub fn settled_phase(&self, vm: &Vm) -> Result<Phase, Failure> {
        let seen = self.engine.container(&container::name(&self.settings, &vm.name))?;
        Ok(container::observe(vm.phase, seen.map(|seen| seen.status)))
    }

    /// Begins to work on a machine, unless somebody else does. Who only looks whether there is a session holds it
    /// for a moment, so it is tried more than once.
    pub fn enter(&self, key: &str) -> Result<Result<(Vm, Session), Vm>, Failure> {
        let vm = self.vm(key)?;
        for _ in 0..10 {
            if let Some(session) = self.store.session(&vm.uuid)? {
                // Who was there before may have changed it.
                return Ok(Ok((self.vm(&vm.uuid)?, session)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Err(vm))
    }

    /// Returns a machine as it was remembered last.
    pub fn vm(&self, key: &str) -> Result<Vm, Failure> {
        self.store.read()?.vm(key).cloned()
    }

    pub fn change_vm<T>(
        &self,
        key: &str,
        change: impl FnOnce(&mut Vm) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.store.change(|state: &mut State| change(state.vm_mut(key)?))
    }

    /// Writes down that this command was given.
    fn log(&self, arguments: &[String]) -> anyhow::Result<()> {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let words = shlex::try_join(arguments.iter().map(String::as_str))?;
        let path = self.store.dir().join("calls.log");
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        // At once, so that lines of several commands do not mix.
        let line = format!("{time:.3} {} {words}\n", std::process::id());
        Ok(file.write_all(line.as_bytes())?)
    }
}
