//! `lab stack`

use std::collections::BTreeMap;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::config::{self, StateDir};
use crate::model::{MAX_NODES, Topology, variable};
use crate::ops::stack::{self, Examined, Origin, Placed, Stacks};
use crate::ops::{self, Stack};

#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the stacks of this project, and those that come with lab
    Ls(Ls),
    /// Show what a stack is made of
    Show(Show),
    /// Think a stack through: its files, its images, its ports, and where its units would go
    Check(Check),
    /// Begin a stack in this project, or copy one that is there
    New(New),
}

#[derive(Debug, ClapArgs)]
struct Ls {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct Show {
    /// The stack
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Without a name it checks all stacks of the lab together. Ends with code 2 if one of them would not run as\n\
    it is meant to.\n\n\
    Examples:\n  lab stack check\n  lab stack check web --nodes 5\n  lab stack check --schema > stack.schema.json"
)]
struct Check {
    /// The stack; may be repeated
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// In a lab of so many nodes; as many as the lab has, or is to have, unless told
    #[arg(short, long, env = "LAB_NODES", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_NODES)))]
    nodes: Option<u16>,
    /// Print the JSON Schema of stack.toml, for editors
    #[arg(long, env = "LAB_SCHEMA")]
    schema: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  lab stack new web --image example/web:1 --port 8080\n  lab stack new store --from zookeeper"
)]
struct New {
    /// What it is to be called
    #[arg(value_name = "NAME", value_parser = stack_name)]
    name: String,
    /// Copy all files of this stack
    #[arg(long, env = "LAB_FROM", value_name = "STACK", conflicts_with_all = ["image", "port"])]
    from: Option<String>,
    /// The image that the service runs; its name unless told
    #[arg(long, env = "LAB_IMAGE", value_name = "IMAGE")]
    image: Option<String>,
    /// The port on which it serves
    #[arg(long, env = "LAB_PORT", value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

fn stack_name(text: &str) -> Result<String, String> {
    config::check_stack_name(text).map_err(|refused| refused.to_string())
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Ls(ls) => ls.run(context),
            Verb::Show(show) => show.run(context),
            Verb::Check(check) => check.run(context).await,
            Verb::New(new) => new.run(context),
        }
    }
}

impl Ls {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let settings = context.settings(context.flags())?;
        let in_lab = context.stack_names(&settings);
        let mut rows = Vec::new();
        for (name, is_own) in stack::available(&settings.project).map_err(ops::Error::from)? {
            let loaded = Stack::load(&settings.project, &context.shelf_of_stacks(), &name);
            let text = loaded.map_or_else(|error| unreadable(&error), |stack| stack.description);
            let from = if is_own { "project" } else { "lab" };
            rows.push((in_lab.contains(&name), name, from, text));
        }
        if self.output.is_json() {
            let rows: Vec<_> = rows
                .iter()
                .map(|(is_used, name, from, text)| json!({ "stack": name, "from": from, "used": is_used, "description": text }))
                .collect();
            context.ui.print_json(&rows)?;
            return Ok(Exit::Done);
        }
        let cells = rows.into_iter().map(|(is_used, name, from, text)| {
            vec![name, from.to_owned(), if is_used { "yes".to_owned() } else { String::new() }, text]
        });
        context
            .ui
            .print(&table::render(&["STACK", "FROM", "USED", "WHAT IT IS"], &cells.collect::<Vec<_>>()));
        Ok(Exit::Done)
    }
}

/// Says in one line why nothing is known of a stack; `lab stack show` has all of it.
fn unreadable(error: &ops::StackError) -> String {
    let text = error.to_string();
    format!("cannot be read: {}", text.lines().next().unwrap_or_default())
}

impl Show {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let settings = context.settings(context.flags())?;
        let stack = Stack::load(&settings.project, &context.shelf_of_stacks(), &self.name);
        let stack = stack.map_err(ops::Error::from)?;
        if self.output.is_json() {
            context.ui.print_json(&shown(&stack))?;
            return Ok(Exit::Done);
        }
        context.ui.print(&render(&stack));
        Ok(Exit::Done)
    }
}

fn shown(stack: &Stack) -> serde_json::Value {
    let units = stack.units.iter().map(|unit| {
        json!({
            "unit": unit.name, "role": unit.role, "images": unit.images, "ports": unit.ports, "reads": unit.reads,
            "check": unit.check, "leader": unit.leader,
        })
    });
    let endpoints = stack.endpoints.iter().map(|endpoint| {
        json!({ "endpoint": endpoint.name, "unit": endpoint.unit, "port": endpoint.port, "scheme": endpoint.scheme })
    });
    json!({
        "stack": stack.name, "description": stack.description, "folder": stack.folder, "roles": stack.roles,
        "env": stack.env, "images": stack.images, "units": units.collect::<Vec<_>>(),
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn render(stack: &Stack) -> String {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let mut text = format!("{}: {}\nfiles: {}\n", stack.name, stack.description, stack.folder);
    let mut table = |heading: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text += &format!("\n{}", table::render(heading, &rows));
        }
    };
    let roles = stack.roles.iter().map(|role| {
        vec![
            role.name.to_string(),
            role.size.to_string(),
            list(&mut role.needs.iter().map(ToString::to_string)),
            format!("LAB_{}_…", variable(role.name.as_str())),
        ]
    });
    table(&["ROLE", "NODES", "NEEDS", "VARIABLES"], roles.collect());
    let units = stack.units.iter().map(|unit| {
        vec![
            unit.name.to_string(),
            unit.role.as_ref().map(ToString::to_string).unwrap_or_default(),
            list(&mut unit.images.iter().cloned()),
            list(&mut unit.ports.iter().map(ToString::to_string)),
            unit.check.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]
    });
    table(&["UNIT", "ROLE", "IMAGES", "PORTS", "SERVES IF"], units.collect());
    let images = stack.images.iter().map(|spec| {
        vec![spec.key.clone(), spec.name.familiar(), format!("LAB_IMAGE_{}", variable(&spec.key))]
    });
    table(&["IMAGE", "NAME", "VARIABLE"], images.collect());
    let endpoints = stack.endpoints.iter().map(|endpoint| {
        let address = format!("{}://NODE:{}{}", endpoint.scheme, endpoint.port, endpoint.path);
        vec![endpoint.name.clone(), endpoint.unit.to_string(), address]
    });
    table(&["ENDPOINT", "UNIT", "ADDRESS"], endpoints.collect());
    text
}

impl Check {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.schema {
            context.ui.print(&config::render_stack_schema());
            return Ok(Exit::Done);
        }
        let mut settings = context.settings(context.flags())?;
        if !self.names.is_empty() {
            settings.stacks = Some(self.names.clone());
        }
        let stacks = context.stacks(&mut settings).map_err(ops::Error::from)?;
        let topology = self.topology(&settings, &stacks)?;
        let mut all = Vec::new();
        for stack in stacks.iter() {
            let mut examined = stack::examine(&stacks, stack, &topology, &settings.images);
            examined.problems.extend(stack::missing_builds(stack, &settings.images));
            self.ask_systemd(stack, &topology, &mut examined).await?;
            all.push((stack.name.clone(), examined));
        }
        let is_sound = all.iter().all(|(_, examined)| examined.problems.is_empty());
        if self.output.is_json() {
            let all: serde_json::Map<_, _> =
                all.into_iter().map(|(name, examined)| (name, json!(examined))).collect();
            context.ui.print_json(&all)?;
        } else {
            for (name, examined) in &all {
                context.ui.print(&told(name, examined, topology.nodes.len()));
            }
        }
        Ok(if is_sound { Exit::Done } else { Exit::Usage })
    }

    /// Returns the lab that a stack is thought into: the one that is there, or the one that `up` would make.
    fn topology(&self, settings: &config::Settings, stacks: &Stacks) -> anyhow::Result<Topology> {
        let state = StateDir::new(&settings.project, &settings.lab).load().map_err(ops::Error::from)?;
        let subnet = "10.77.0.0/24".parse().expect("it is a network");
        let known = state.map(|state| state.topology);
        let count = self.nodes.or(settings.nodes);
        let count = count.or(known.as_ref().and_then(|lab| u16::try_from(lab.nodes.len()).ok()));
        let lab = known.unwrap_or_else(|| Topology::fresh(settings.lab.clone(), String::new(), subnet));
        let lab = lab.resized(&settings.prefix, count.unwrap_or(config::DEFAULT_NODES))?;
        Ok(Topology { fleet: settings.fleet.clone(), stacks: stacks.roles(&settings.images), ..lab })
    }

    async fn ask_systemd(
        &self,
        stack: &Stack,
        topology: &Topology,
        examined: &mut Examined,
    ) -> anyhow::Result<()> {
        let instances = stack.instances(&topology.duties().unwrap_or_default(), &BTreeMap::new());
        let scratch = std::env::temp_dir().join(format!("lab-check-{}-{}", std::process::id(), stack.name));
        let scratch = camino::Utf8PathBuf::from_path_buf(scratch)
            .map_err(|path| anyhow::anyhow!("`{}` is not UTF-8", path.display()))?;
        let verified = stack::verify(&instances, &scratch).await;
        crate::fs::remove_dir(&scratch)?;
        match verified.map_err(ops::Error::from)? {
            Some(lines) => examined.problems.extend(lines.into_iter().map(|line| format!("systemd: {line}"))),
            None => examined.notes.push("systemd was not asked: there is no systemd-analyze here".to_owned()),
        }
        Ok(())
    }
}

fn told(name: &str, examined: &Examined, nodes: usize) -> String {
    let plural = if nodes == 1 { "" } else { "s" };
    let mut text = format!("stack {name} in a lab of {nodes} node{plural}\n");
    let row = |placed: &Placed| vec![placed.unit.to_string(), placed.nodes.join(", ")];
    let rows: Vec<Vec<String>> = examined.units.iter().map(row).collect();
    text += &table::render(&["UNIT", "WOULD RUN ON"], &rows);
    for problem in &examined.problems {
        text += &format!("problem: {problem}\n");
    }
    for note in &examined.notes {
        text += &format!("note: {note}\n");
    }
    if examined.problems.is_empty() {
        text += "it is fine\n";
    }
    text
}

impl New {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let settings = context.settings(context.flags())?;
        let image = self.image.clone().unwrap_or_else(|| self.name.clone());
        let origin = match self.from {
            Some(from) => Origin::Copy(from),
            None => Origin::Service { image, port: self.port },
        };
        let files = stack::scaffold(&settings.project, &self.name, &origin).map_err(ops::Error::from)?;
        for file in files {
            context.ui.print(&format!("{file}\n"));
        }
        let name = &self.name;
        context.ui.say(&format!("next: edit them | lab stack check {name} | lab up --stack {name}"));
        Ok(Exit::Done)
    }
}
