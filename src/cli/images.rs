//! `lab images`

use camino::Utf8PathBuf;
use clap::{Args as ClapArgs, Subcommand};

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::images::{State, Swept, verify};
use crate::model::Bytes;
use crate::ops::{self, CacheRow, ImageRow};

#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the lab's images: what they weigh, who has them, and why one has to be made again
    Ls(Ls),
    /// Make what changed, and nothing else, without touching any node
    Build(Build),
    /// Ask registries again what tags mean, and fetch what is new
    Pull(Pull),
    /// Put an archive into the cache: a whole cache, or images as `docker save` or the OCI write them
    Import(Import),
    /// Write a whole cache, or some images, to a file for a machine without a network
    Export(Export),
    /// Read every byte of the cache, throw away what is broken, and make it again
    Verify(Verify),
    /// Remove images that no lab uses
    Prune(Prune),
    /// Tell why an image would be made again
    Why(Why),
}

#[derive(Debug, ClapArgs)]
struct Ls {
    /// List the whole cache instead, with the labs that use each image
    #[arg(short, long, env = "LAB_ALL")]
    all: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct Build {
    /// Only these images, by their names in lab.toml
    #[arg(value_name = "NAME")]
    images: Vec<String>,
    /// Make them even if nothing changed
    #[arg(short, long, env = "LAB_FORCE")]
    force: bool,
}

#[derive(Debug, ClapArgs)]
struct Pull {
    /// Only these images, by their names in lab.toml; or any reference, to have it in the cache
    #[arg(value_name = "NAME")]
    images: Vec<String>,
}

#[derive(Debug, ClapArgs)]
struct Import {
    /// The archives
    #[arg(required = true, value_name = "FILE")]
    archives: Vec<Utf8PathBuf>,
}

#[derive(Debug, ClapArgs)]
struct Export {
    /// Where to write to
    #[arg(value_name = "FILE")]
    archive: Utf8PathBuf,
    /// Only these images of the lab, by their names in lab.toml
    #[arg(value_name = "NAME")]
    images: Vec<String>,
}

#[derive(Debug, ClapArgs)]
struct Verify {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct Prune {
    /// Keep unused images as long as the cache is below this size, as in 5GiB
    #[arg(long, env = "LAB_KEEP", default_value = "0", value_name = "SIZE")]
    keep: Bytes,
    /// Show what would be removed and remove nothing
    #[arg(long, env = "LAB_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct Why {
    /// An image, by its name in lab.toml
    #[arg(value_name = "NAME")]
    image: String,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        context.stop_on_signals();
        match self.verb {
            Verb::Ls(ls) if ls.all => ls.show_cache(context).await,
            Verb::Ls(ls) => ls.show(context).await,
            Verb::Build(build) => build.run(context).await,
            Verb::Pull(pull) => pull.run(context).await,
            Verb::Import(import) => import.run(context).await,
            Verb::Export(export) => export.run(context).await,
            Verb::Verify(verify) => verify.run(context).await,
            Verb::Prune(prune) => prune.run(context).await,
            Verb::Why(why) => why.run(context).await,
        }
    }
}

impl Ls {
    async fn show(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let rows = ops::list(&bench.lab()).await?;
        if self.output.is_json() {
            context.ui.print_json(&rows)?;
        } else if rows.is_empty() {
            context.ui.say(
                "the lab has no images; `images/NAME/Dockerfile` or `[images.NAME]` in lab.toml adds one",
            );
        } else {
            let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
            let heading = ["IMAGE", "NAME", "FROM", "ID", "SIZE", "STORED", "SHARED", "NODES", "STATE"];
            context.ui.print(&table::render(&heading, &cells));
        }
        Ok(Exit::Done)
    }

    async fn show_cache(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        let rows = ops::list_cache(&shelf.images)?;
        if self.output.is_json() {
            context.ui.print_json(&rows)?;
            return Ok(Exit::Done);
        }
        let cells: Vec<Vec<String>> = rows.iter().map(cache_cells).collect();
        context
            .ui
            .print(&table::render(&["NAME", "FROM", "ID", "SIZE", "STORED", "SHARED", "USED BY"], &cells));
        let size = table::size(shelf.images.cache.size()?);
        context.ui.say(&format!("{size} in {}", shelf.images.cache.store().root()));
        Ok(Exit::Done)
    }
}

fn cells(row: &ImageRow) -> Vec<String> {
    let has = row.nodes.values().filter(|has| **has).count();
    let nodes = if row.nodes.is_empty() { String::new() } else { format!("{has}/{}", row.nodes.len()) };
    let state = if row.stale.is_empty() { "ready".to_owned() } else { row.stale.join(", ") };
    let id = row.id.map(|id| id.short()).unwrap_or_default();
    let [size, stored, shared] =
        sizes(row.size).map(|size| if row.id.is_some() { size } else { String::new() });
    vec![row.key.clone(), row.name.familiar(), row.from.to_owned(), id, size, stored, shared, nodes, state]
}

fn cache_cells(row: &CacheRow) -> Vec<String> {
    let [size, stored, shared] = sizes(row.size);
    let users: Vec<&str> = row.used_by.iter().map(String::as_str).collect();
    vec![row.name.familiar(), row.from.to_owned(), row.id.short(), size, stored, shared, users.join(", ")]
}

fn sizes(size: ops::Size) -> [String; 3] {
    [size.unpacked_bytes, size.stored_bytes, size.shared_bytes].map(table::size)
}

impl Build {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        let made =
            ops::build(&shelf.sources(), &shelf.settings, &self.images, self.force, &context.stop).await?;
        if made.is_empty() {
            context.ui.say("nothing changed; nothing to do");
        }
        context.make_room_in(&shelf.settings, &shelf.images).await;
        Ok(Exit::Done)
    }
}

impl Pull {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        if ops::pull(&shelf.sources(), &shelf.settings, &self.images, &context.stop).await? == 0 {
            context.ui.say("no image of this lab comes from a registry; nothing to do");
        }
        context.make_room_in(&shelf.settings, &shelf.images).await;
        Ok(Exit::Done)
    }
}

impl Import {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        for file in &self.archives {
            let names =
                ops::import(&shelf.images, &context.cwd.join(file), &shelf.progress, &context.stop).await?;
            context.ui.say(&format!("{file}: {} in the cache", list(&names)));
        }
        context.make_room_in(&shelf.settings, &shelf.images).await;
        Ok(Exit::Done)
    }
}

impl Export {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        let file = context.cwd.join(&self.archive);
        let names =
            ops::export(&shelf.sources(), &shelf.settings, &self.images, &file, &context.stop).await?;
        let size = std::fs::metadata(&file).map_or(0, |file| file.len());
        context.ui.say(&format!("{}: {}, {}", self.archive, list(&names), table::size(size)));
        Ok(Exit::Done)
    }
}

fn list(names: &[crate::model::image::ImageName]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if names.is_empty() { "no image".to_owned() } else { names.join(", ") }
}

impl Verify {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        let step = shelf.progress.begin("cache", "reading everything");
        let cache = shelf.images.cache.clone();
        let found = tokio::task::spawn_blocking(move || {
            let found = verify(&cache, |bytes| step.advance(format!("read {}", Bytes::new(bytes))))?;
            step.done(format!("read {} in {} blobs", table::size(found.bytes), found.blobs));
            Ok::<_, crate::oci::Error>(found)
        });
        let found = found.await??;
        if self.output.is_json() {
            context.ui.print_json(&found)?;
        }
        for digest in &found.broken {
            context.ui.say(&format!("{digest} was broken and is thrown away"));
        }
        if found.broken.is_empty() && found.images.is_empty() {
            context.ui.say("everything is as it should be");
            return Ok(Exit::Done);
        }
        context.ui.say(&format!("incomplete: {}", list(&found.images)));
        let made = ops::build(&shelf.sources(), &shelf.settings, &[], false, &context.stop).await?;
        let made: Vec<&str> = made.keys().map(String::as_str).collect();
        if !made.is_empty() {
            context.ui.say(&format!("made again: {}", made.join(", ")));
        }
        Ok(Exit::Done)
    }
}

impl Prune {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        let swept = ops::prune(&shelf.images, self.keep.get(), self.dry_run).await?;
        if self.output.is_json() {
            context.ui.print_json(&swept)?;
        } else {
            context.ui.say(&told(&swept.cache, self.dry_run));
            for volume in &swept.volumes {
                context.ui.say(&format!("unpacked layers that no node uses: {volume}"));
            }
        }
        Ok(Exit::Done)
    }
}

fn told(swept: &Swept, is_rehearsal: bool) -> String {
    let verb = if is_rehearsal { "would remove" } else { "removed" };
    let size = table::size(swept.bytes);
    format!("{verb} {} and with that {} blobs, {size}", list(&swept.images), swept.blobs)
}

impl Why {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let shelf = context.shelf().await?;
        let look = ops::why(&shelf.sources(), &shelf.settings, &self.image).await?;
        let why = match &look.state {
            State::Ready(_) => Vec::new(),
            State::Stale { why } => why.clone(),
        };
        if self.output.is_json() {
            context.ui.print_json(&serde_json::json!({ "image": look.spec.key, "why": why }))?;
        } else if why.is_empty() {
            context
                .ui
                .say(&format!("{} is as it should be: nothing that goes into it changed", look.spec.key));
        } else {
            context.ui.print(&(why.join("\n") + "\n"));
        }
        Ok(Exit::Done)
    }
}
