//! Makes Vagrant boxes from Debian packages, one file for each format and a catalogue that Vagrant reads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};

use super::Error;
use super::link::until_stopped;
use crate::config::{BoxRef, VagrantProvider};
use crate::exec::{self, Cmd, Keeper};
use crate::fs::{self, Access};
use crate::images::box_image::{self, BoxFile, Catalogue, Format, MBR, TOOLS};
use crate::oci;
use crate::progress::{Progress, Step};
use crate::vagrant::is_box_there;
use crate::wait::Stop;

/// Longer than a keeper lets a disk that is being made take to end.
const END_LIMIT: Duration = Duration::from_mins(1);

/// What boxes are to be there.
pub struct BoxOrder<'a> {
    pub formats: &'a [Format],
    /// The folder of boxes and of their catalogue.
    pub out: &'a Utf8Path,
    /// As Vagrant knows the box: `owner/name`.
    pub name: &'a str,
    pub labd: &'a Utf8Path,
    /// The program that keeps the making of a disk from being left to itself.
    pub keeper: &'a Utf8Path,
    pub add_to_vagrant: bool,
    /// Where Vagrant keeps boxes.
    pub vagrant_home: &'a Utf8Path,
}

/// A box that is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BoxMade {
    pub name: String,
    pub format: Format,
    pub version: String,
    pub path: Utf8PathBuf,
    pub is_new: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum BoxError {
    #[error("boxes are made on {} only, and this host is {}", box_image::ARCH, std::env::consts::ARCH)]
    Arch,
    #[error("a box cannot be made here: {missing} {}", if missing.contains(' ') { "are missing" } else { "is missing" })]
    Tools { missing: String, packages: String },
    #[error("could not lock `{path}`")]
    Lock { path: Utf8PathBuf, source: io::Error },
    #[error("what an earlier command began in `{folder}` has not ended")]
    Busy { folder: Utf8PathBuf },
    #[error("could not make the disk")]
    Disk { source: exec::Error },
    #[error("could not write `{path}`")]
    Pack { path: Utf8PathBuf, source: io::Error },
    #[error("the catalogue `{path}` is damaged")]
    Catalogue { path: Utf8PathBuf, source: serde_json::Error },
    #[error("the box is made, and could not be given to Vagrant")]
    Add { source: exec::Error },
}

impl BoxError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Arch => Some("take a box that others made: `vagrant box add`".to_owned()),
            Self::Tools { packages, .. } => Some(format!("`sudo apt-get install {packages}`")),
            Self::Disk { .. } => {
                Some("the last lines tell why; the disk needs 4 GB of room, and packages a mirror".to_owned())
            }
            Self::Pack { source, .. } if fs::is_full_disk(source) => {
                Some("free some space, or choose another folder with `--out`".to_owned())
            }
            Self::Catalogue { path, .. } => Some(format!("remove `{path}` and run the command again")),
            Self::Add { source } if source.is_program_missing() => Some(
                "install vagrant and run the command again, or keep the box out of it: `--no-add`".to_owned(),
            ),
            Self::Busy { .. } => Some("wait for its end, and run the command again".to_owned()),
            Self::Lock { .. } | Self::Pack { .. } | Self::Add { .. } => None,
        }
    }
}

/// Makes the boxes that are missing or of another content, and gives all of them to Vagrant.
pub async fn box_build(
    order: &BoxOrder<'_>,
    progress: &Progress,
    stop: &Stop,
) -> Result<Vec<BoxMade>, Error> {
    check_host()?;
    let labd = fs::read(order.labd)?;
    let _turn = take_turn(order.out).await?;
    clear(order).await?;
    let work = async {
        let mut made = Vec::new();
        for format in order.formats {
            made.push(ensure(order, *format, &labd, progress).await?);
        }
        Ok(made)
    };
    let made = until_stopped(stop, work).await;
    clear(order).await?;
    let made: Vec<BoxMade> = made?;
    if order.add_to_vagrant {
        for made in made.iter().filter(|made| !vagrant_has(order, made)) {
            until_stopped(stop, add(order, made, progress)).await?;
        }
    }
    Ok(made)
}

/// Removes what was under way and is of no use to anybody, once it has ended.
async fn clear(order: &BoxOrder<'_>) -> Result<(), Error> {
    if !exec::until_all_ended(&held(order), END_LIMIT).await {
        return Err(BoxError::Busy { folder: workshop(order) }.into());
    }
    Ok(fs::remove_dir(&workshop(order))?)
}

fn vagrant_has(order: &BoxOrder<'_>, made: &BoxMade) -> bool {
    let base = BoxRef { name: made.name.clone(), version: Some(made.version.clone()), url: None };
    let kind = match made.format {
        Format::Libvirt => VagrantProvider::Libvirt,
        Format::Virtualbox => VagrantProvider::VirtualBox,
    };
    is_box_there(order.vagrant_home, &base, kind)
}

fn check_host() -> Result<(), BoxError> {
    if std::env::consts::ARCH != box_image::ARCH {
        return Err(BoxError::Arch);
    }
    let programs = TOOLS.iter().filter(|(program, _)| which::which(program).is_err() && !is_in_sbin(program));
    let files = [MBR].into_iter().filter(|(path, _)| !Utf8Path::new(path).exists());
    let missing: Vec<(&str, &str)> = programs.copied().chain(files).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let join = |part: &dyn Fn(&(&'static str, &'static str)) -> &'static str, by| {
        missing.iter().map(|pair| part(&(pair.0, pair.1))).collect::<Vec<_>>().join(by)
    };
    Err(BoxError::Tools { missing: join(&|pair| pair.0, ", "), packages: join(&|pair| pair.1, " ") })
}

/// Ordinary users of Debian have no sbin on their PATH.
fn is_in_sbin(program: &str) -> bool {
    ["/usr/sbin", "/sbin"].iter().any(|folder| Utf8Path::new(folder).join(program).exists())
}

/// One process at a time works in a folder; the lock ends with its holder.
async fn take_turn(out: &Utf8Path) -> Result<File, Error> {
    fs::create_dir(out)?;
    let path = out.join(".lock");
    let opened = path.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&opened)?;
        file.lock().map(|()| file)
    });
    let taken = taken.await.expect("taking a lock does not panic");
    Ok(taken.map_err(|source| BoxError::Lock { path, source })?)
}

fn workshop(order: &BoxOrder<'_>) -> Utf8PathBuf {
    order.out.join(".making")
}

/// Locked while a disk is being made, also by what a command left behind that was killed.
fn held(order: &BoxOrder<'_>) -> Utf8PathBuf {
    order.out.join(".held")
}

fn file_name(name: &str) -> String {
    name.replace('/', "-")
}

fn catalogue_path(order: &BoxOrder<'_>) -> Utf8PathBuf {
    order.out.join(format!("{}.json", file_name(order.name)))
}

fn load(order: &BoxOrder<'_>) -> Result<Catalogue, Error> {
    let path = catalogue_path(order);
    let Some(text) = fs::read_if_present(&path)? else { return Ok(Catalogue::new(order.name)) };
    let catalogue: Catalogue =
        serde_json::from_str(&text).map_err(|source| BoxError::Catalogue { path, source })?;
    Ok(if catalogue.name == order.name { catalogue } else { Catalogue::new(order.name) })
}

async fn ensure(
    order: &BoxOrder<'_>,
    format: Format,
    labd: &[u8],
    progress: &Progress,
) -> Result<BoxMade, Error> {
    let path = order.out.join(format!("{}-{}.box", file_name(order.name), format.name()));
    let (mut catalogue, key) = (load(order)?, box_image::key(format, labd));
    let (name, made) = (order.name.to_owned(), |version: &str, is_new| (version.to_owned(), is_new));
    let found = catalogue.find(format).filter(|(_, file)| file.lab_key == key && path.exists());
    let (version, is_new) = if let Some((version, _)) = found {
        made(version, false)
    } else {
        let step = progress.begin(format.name(), "making the disk from Debian packages (some three minutes)");
        let file = match make(order, format, labd, &path, &step).await {
            Ok(checksum) => box_file(format, &path, checksum, key),
            Err(error) => {
                step.failed("the box could not be made");
                return Err(error);
            }
        };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        catalogue.put(file, seconds);
        let json = serde_json::to_string_pretty(&catalogue).expect("a catalogue is plain data");
        fs::write(&catalogue_path(order), json, Access::Public)?;
        step.done(format!("made {path}"));
        made(catalogue.find(format).map_or("", |(version, _)| version), true)
    };
    Ok(BoxMade { name, format, version, path, is_new })
}

fn box_file(format: Format, path: &Utf8Path, checksum: String, lab_key: String) -> BoxFile {
    let absolute = path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    let (url, checksum_type) = (format!("file://{absolute}"), "sha256".to_owned());
    BoxFile { name: format, url, checksum_type, checksum, lab_key }
}

/// Makes a box and returns its SHA-256. It appears under its name when it is whole.
async fn make(
    order: &BoxOrder<'_>,
    format: Format,
    labd: &[u8],
    path: &Utf8Path,
    step: &Step,
) -> Result<String, Error> {
    let workshop = workshop(order);
    fs::remove_dir(&workshop)?;
    for (name, content) in box_image::workshop(labd) {
        fs::write(&workshop.join(name), content, Access::Public)?;
    }
    let cmd = box_image::build(&absolute(&workshop), format);
    let (log, held) = (workshop.join("log"), held(order));
    let keeper = Keeper { program: order.keeper, log: &log, held: &held };
    exec::run_kept(&keeper, &cmd).await.map_err(|source| BoxError::Disk { source })?;
    step.change("packing the box");
    let (whole, path) = (workshop.join("whole.box"), path.to_owned());
    let packing = tokio::task::spawn_blocking(move || {
        let failed = |source| BoxError::Pack { path: path.clone(), source };
        pack(&workshop.join(format.disk()), format, &whole).map_err(failed)?;
        let digest = oci::digest_of_file(&whole)?;
        std::fs::rename(&whole, &path).map_err(failed)?;
        Ok(digest.hex())
    });
    packing.await.expect("packing does not panic")
}

fn absolute(path: &Utf8Path) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned())
}

/// The disk is compressed already, and a box may be a plain archive.
fn pack(disk: &Utf8Path, format: Format, to: &Utf8Path) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 18, File::create(to)?));
    for (name, text) in box_image::texts(format, std::fs::metadata(disk)?.len()) {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.append_path_with_name(disk, format.disk())?;
    let mut file = archive.into_inner()?;
    file.flush()?;
    file.get_ref().sync_data()
}

async fn add(order: &BoxOrder<'_>, made: &BoxMade, progress: &Progress) -> Result<(), Error> {
    let step = progress.begin(made.format.name(), "giving the box to Vagrant");
    // Vagrant reads the Vagrantfile of where it is, whatever it is asked for.
    let nowhere = order.out.join(".nowhere");
    fs::create_dir(&nowhere)?;
    let cmd = Cmd::new("vagrant")
        .env("VAGRANT_CWD", absolute(&nowhere).as_str())
        .env("VAGRANT_CHECKPOINT_DISABLE", "1")
        .args(["box", "add", "--force", "--no-color", "--provider", made.format.name()])
        .arg(absolute(&catalogue_path(order)).as_str());
    match exec::run(&cmd, b"").await {
        Ok(_) => {
            step.done(format!("Vagrant has {} {}", made.name, made.version));
            Ok(())
        }
        Err(source) => {
            step.failed("Vagrant did not take the box");
            Err(BoxError::Add { source }.into())
        }
    }
}
