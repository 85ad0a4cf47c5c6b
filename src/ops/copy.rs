//! `lab cp`: files and folders to a node and from it, as a tar stream through ssh.

use std::io;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::AsyncWriteExt;
use tokio_util::io::SyncIoBridge;

use crate::exec::quote;
use crate::model::NodeName;
use crate::provider::Provider;
use crate::ssh::Event;

use super::run::connect;
use super::{Error, Lab};

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyEnd {
    Here(Utf8PathBuf),
    Node(NodeName, String),
}

impl CopyEnd {
    /// Reads `core-01:/etc/hosts` or `./file`. A path with a slash before its colon is here.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((node, path)) if NodeName::parse(node).is_ok() => {
                let node = NodeName::parse(node).expect("it was just parsed");
                Self::Node(node, if path.is_empty() { ".".to_owned() } else { path.to_owned() })
            }
            _ => Self::Here(text.into()),
        }
    }
}

/// How much of a stream waits between its two ends.
const BUFFER: usize = 1 << 18;

/// Copies as `cp -r` does: into a folder that exists, else to that name.
pub async fn copy<P: Provider>(
    lab: &Lab<'_, P>,
    from: &CopyEnd,
    to: &CopyEnd,
    as_root: bool,
) -> Result<(), Error> {
    let seen = lab.observe_existing().await?;
    let sudo = if as_root { "sudo " } else { "" };
    match (from, to) {
        (CopyEnd::Here(from), CopyEnd::Node(node, to)) => {
            let link = connect(lab, &seen, node).await?;
            send(&link, from, to, sudo).await
        }
        (CopyEnd::Node(node, from), CopyEnd::Here(to)) => {
            let link = connect(lab, &seen, node).await?;
            receive(&link, from, to, sudo).await
        }
        (CopyEnd::Node(source, from), CopyEnd::Node(target, to)) => {
            let (source, target) = (connect(lab, &seen, source).await?, connect(lab, &seen, target).await?);
            relay(&source, from, &target, to, sudo).await
        }
        (CopyEnd::Here(path), CopyEnd::Here(_)) => Err(Error::BadCopy { path: path.to_string() }),
    }
}

/// The line that packs a path under the name `x`; what it is called is decided where it arrives.
fn pack_line(path: &str, sudo: &str) -> String {
    // The dot keeps a path that begins with a dash from being an option.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("./{path}") };
    let (folder, last) = match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", last)) => ("/".to_owned(), last.to_owned()),
        Some((folder, last)) => (folder.to_owned(), last.to_owned()),
        None => ("/".to_owned(), ".".to_owned()),
    };
    let rename = "'--transform=flags=rh;s|^[^/]*|x|'";
    format!("{sudo}tar -C {} -cf - {rename} -- {}", quote(&folder), quote(&last))
}

/// The line that unpacks `x` into a folder that exists, under `name`, or else as the path itself.
fn unpack_line(path: &str, name: &str, sudo: &str) -> String {
    let script = "t=$1; if [ -d \"$t\" ]; then t=${t%/}/$2; fi; d=$(mktemp -d \"$(dirname -- \"$t\")/.lab-cp.XXXXXX\") && \
                  trap 'rm -rf \"$d\"' EXIT && tar -C \"$d\" -xf - && \
                  if [ -d \"$t\" ] && [ -d \"$d/x\" ]; then cp -a \"$d/x/.\" \"$t/\"; else mv -f -T \"$d/x\" \"$t\"; fi";
    let path = if path.starts_with('/') { path.to_owned() } else { format!("./{path}") };
    format!("{sudo}sh -c {} sh {} {}", quote(script), quote(&path), quote(name))
}

fn last_name(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("root").to_owned()
}

async fn send(link: &super::Link, from: &Utf8Path, to: &str, sudo: &str) -> Result<(), Error> {
    let failed = |source| Error::Copy { path: from.to_string(), source };
    let whole = from.canonicalize_utf8().map_err(failed)?;
    let name = from.file_name().or(whole.file_name()).unwrap_or("root").to_owned();
    let (reader, writer) = tokio::io::duplex(BUFFER);
    let packing = tokio::task::spawn_blocking(move || pack(&whole, SyncIoBridge::new(writer)));
    let mut process = link.session().start(&unpack_line(to, &name, sudo), reader).await?;
    let (code, complaint) = finish(&mut process).await?;
    // A node that cannot write ends the pipe, and that is then the cause and not the effect.
    if code != 0 {
        return Err(Error::CopyThere { path: to.to_owned(), complaint });
    }
    packing.await.map_err(io::Error::other).and_then(|packed| packed).map_err(failed)
}

fn pack(path: &Utf8Path, writer: impl io::Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(writer);
    archive.follow_symlinks(false);
    if std::fs::symlink_metadata(path)?.is_dir() {
        archive.append_dir_all("x", path)?;
    } else {
        archive.append_path_with_name(path, "x")?;
    }
    archive.into_inner()?.flush()
}

async fn receive(link: &super::Link, from: &str, to: &Utf8Path, sudo: &str) -> Result<(), Error> {
    let failed = |source| Error::Copy { path: to.to_string(), source };
    let target = if to.is_dir() { to.join(last_name(from)) } else { to.to_owned() };
    let (mut writer, reader) = tokio::io::duplex(BUFFER);
    let unpacking = tokio::task::spawn_blocking(move || unpack(&target, SyncIoBridge::new(reader)));
    let mut process = link.session().start(&pack_line(from, sudo), tokio::io::empty()).await?;
    let mut complaint = Vec::new();
    let code = loop {
        match process.next().await? {
            // If the disk here is full the unpacker ends, and says so below.
            Event::Stdout(bytes) => drop(writer.write_all(&bytes).await),
            Event::Stderr(bytes) => complaint.extend(bytes),
            Event::Exit(code) => break code,
        }
    };
    drop(writer);
    let unpacked = unpacking.await.map_err(io::Error::other).and_then(|unpacked| unpacked);
    if code != 0 {
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        return Err(Error::CopyThere { path: from.to_owned(), complaint });
    }
    unpacked.map_err(failed)
}

/// Unpacks `x` beside the target and moves it there: whatever names a node sends, nothing else is touched.
fn unpack(target: &Utf8Path, reader: impl io::Read) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let workshop = folder.join(format!(".lab-cp.{}", std::process::id()));
    std::fs::create_dir(&workshop)?;
    let unpacked = tar::Archive::new(reader)
        .unpack(&workshop)
        .and_then(|()| move_over(workshop.join("x").as_std_path(), target.as_std_path()));
    let cleaned = std::fs::remove_dir_all(&workshop);
    unpacked.and(cleaned)
}

/// Moves a file or a folder to where it belongs; into a folder that exists, its content.
fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    let is_dir = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if !(is_dir(from) && is_dir(to)) {
        return std::fs::rename(from, to);
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        move_over(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

async fn relay(
    source: &super::Link,
    from: &str,
    target: &super::Link,
    to: &str,
    sudo: &str,
) -> Result<(), Error> {
    let (mut writer, reader) = tokio::io::duplex(BUFFER);
    let mut packing = source.session().start(&pack_line(from, sudo), tokio::io::empty()).await?;
    let mut unpacking = target.session().start(&unpack_line(to, &last_name(from), sudo), reader).await?;
    let pump = async {
        let mut complaint = Vec::new();
        loop {
            match packing.next().await? {
                Event::Stdout(bytes) => drop(writer.write_all(&bytes).await),
                Event::Stderr(bytes) => complaint.extend(bytes),
                Event::Exit(0) => {
                    drop(writer);
                    return Ok(());
                }
                Event::Exit(_) => {
                    let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
                    return Err(Error::CopyThere { path: from.to_owned(), complaint });
                }
            }
        }
    };
    let (packed, unpacked) = tokio::join!(pump, finish(&mut unpacking));
    packed?;
    match unpacked? {
        (0, _) => Ok(()),
        (_, complaint) => Err(Error::CopyThere { path: to.to_owned(), complaint }),
    }
}

/// Runs a command to its end and returns its code and what it complained of.
async fn finish(process: &mut crate::ssh::Process<'_>) -> Result<(i32, String), Error> {
    let mut complaint = Vec::new();
    loop {
        match process.next().await? {
            Event::Stdout(_) => {}
            Event::Stderr(bytes) => complaint.extend(bytes),
            Event::Exit(code) => return Ok((code, String::from_utf8_lossy(&complaint).trim().to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{self, Access};

    #[track_caller]
    fn end(text: &str, want: &CopyEnd) {
        assert_eq!(&CopyEnd::parse(text), want);
    }

    #[test]
    fn a_node_and_a_path_are_told_from_a_file() {
        let node = |path: &str| CopyEnd::Node(NodeName::parse("core-01").unwrap(), path.to_owned());
        end("core-01:/etc/hosts", &node("/etc/hosts"));
        end("core-01:", &node("."));
        end("core-01:a:b", &node("a:b"));
        end("./core-01:/x", &CopyEnd::Here("./core-01:/x".into()));
        end("/a/b", &CopyEnd::Here("/a/b".into()));
    }

    #[test]
    fn packing_renames_the_first_part_of_every_name() {
        let rename = "'--transform=flags=rh;s|^[^/]*|x|'";
        assert_eq!(pack_line("/etc/hosts", ""), format!("tar -C /etc -cf - {rename} -- hosts"));
        assert_eq!(pack_line("-a b/", "sudo "), format!("sudo tar -C . -cf - {rename} -- '-a b'"));
        assert_eq!(pack_line("/", ""), format!("tar -C / -cf - {rename} -- ."));
    }

    fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_node_that_sends_other_names_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(&folder.join("precious"), "mine", Access::Public).unwrap();
        let sent = archive(&[("precious", "theirs"), ("x", "asked for")]);
        unpack(&folder.join("got"), sent.as_slice()).unwrap();
        let read = |name: &str| fs::read_to_string(&folder.join(name)).unwrap();
        assert_eq!((read("precious").as_str(), read("got").as_str()), ("mine", "asked for"));
        assert_eq!(fs::list(folder).unwrap(), ["got", "precious"]);
    }

    #[test]
    fn a_folder_is_merged_into_one_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Utf8Path::from_path(dir.path()).unwrap().join("logs");
        fs::create_dir(&logs.join("old")).unwrap();
        unpack(&logs, archive(&[("x/new", "1"), ("x/old/deep", "2")]).as_slice()).unwrap();
        assert_eq!(fs::list(&logs).unwrap(), ["new", "old"]);
        assert_eq!(fs::list(&logs.join("old")).unwrap(), ["deep"]);
    }
}
