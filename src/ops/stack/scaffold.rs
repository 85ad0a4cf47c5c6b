//! A new stack of a project: a copy of one that is there, or a service that runs on several nodes to begin with.

use camino::{Utf8Path, Utf8PathBuf};

use super::{FOLDER, StackError, folder, shipped};
use crate::config::STACK_FILE_NAME;
use crate::fs::{self, Access};

/// What a new stack is made from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// All files of this stack.
    Copy(String),
    Service {
        image: String,
        port: u16,
    },
}

/// Writes a stack into the project, and returns its files. One that is there stays as it is.
pub fn scaffold(project: &Utf8Path, name: &str, origin: &Origin) -> Result<Vec<Utf8PathBuf>, StackError> {
    let home = project.join(FOLDER).join(name);
    if home.symlink_metadata().is_ok() {
        return Err(StackError::Exists { folder: home });
    }
    let files = match origin {
        Origin::Service { image, port } => service(name, image, *port),
        Origin::Copy(from) => copied(project, from)?,
    };
    let mut written = Vec::new();
    for (path, content) in files {
        let path = home.join(path);
        let access = if content.starts_with(b"#!") { Access::Program } else { Access::Public };
        fs::write(&path, content, access)?;
        written.push(path);
    }
    Ok(written)
}

fn copied(project: &Utf8Path, from: &str) -> Result<Vec<(Utf8PathBuf, Vec<u8>)>, StackError> {
    let own = project.join(FOLDER).join(from);
    if own.is_dir() {
        let mut files = Vec::new();
        folder::walk(&own, Utf8Path::new(""), &mut files)?;
        return Ok(files);
    }
    shipped::whole(from).ok_or_else(|| StackError::Unknown { name: from.to_owned(), folder: own })
}

fn service(name: &str, image: &str, port: u16) -> Vec<(Utf8PathBuf, Vec<u8>)> {
    let fill = |text: &str| {
        let filled = text.replace("@NAME@", name).replace("@IMAGE@", image);
        filled
            .replace("@PORT@", &port.to_string())
            .replace("@VARIABLE@", &crate::model::variable(name))
            .into_bytes()
    };
    vec![
        (STACK_FILE_NAME.into(), fill(include_str!("scaffold/stack.toml"))),
        (format!("{name}@.service").into(), fill(include_str!("scaffold/unit.service"))),
    ]
}
