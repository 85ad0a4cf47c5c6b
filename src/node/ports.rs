//! Which TCP ports are taken on the node, and by which programs, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::fs;
use crate::model::TakenPort;

const LISTENS: &str = "0A";

/// Returns all ports on which something listens, whatever the address, in order.
pub(super) fn taken() -> Vec<TakenPort> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.map(|path| fs::read_to_string(Utf8Path::new(path)).unwrap_or_default());
    let listening: Vec<(u16, u64)> = tables.iter().flat_map(|table| parse(table)).collect();
    let sockets = listening.iter().map(|(_, inode)| *inode).collect();
    let programs = programs(Utf8Path::new("/proc"), &sockets);
    let mut found: BTreeMap<u16, Option<String>> = BTreeMap::new();
    for (port, inode) in listening {
        let program = found.entry(port).or_default();
        *program = program.take().or_else(|| programs.get(&inode).cloned());
    }
    found.into_iter().map(|(port, program)| TakenPort { port, program }).collect()
}

/// Returns the ports on which sockets listen, each with the socket's inode.
fn parse(table: &str) -> Vec<(u16, u64)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = words.get(1)?.rsplit_once(':')?.1;
        let is_listening = *words.get(3)? == LISTENS;
        is_listening.then_some((u16::from_str_radix(port, 16).ok()?, words.get(9)?.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// Returns what the programs are called that hold sockets. A process that ends meanwhile, or that we may not look
/// at, is passed over.
fn programs(proc: &Utf8Path, sockets: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    for process in entries(proc) {
        if !process.file_name().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let held = entries(&process.join("fd")).into_iter().filter_map(|fd| socket(&fd));
        let held: Vec<u64> = held.filter(|inode| sockets.contains(inode)).collect();
        if held.is_empty() {
            continue;
        }
        let Ok(name) = fs::read_to_string(&process.join("comm")) else { continue };
        for inode in held {
            found.entry(inode).or_insert_with(|| name.trim_end().to_owned());
        }
    }
    found
}

fn entries(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.into_path())).collect()
}

/// Reads the inode out of a link such as `socket:[1234]`.
fn socket(fd: &Utf8Path) -> Option<u64> {
    let target = fd.read_link_utf8().ok()?;
    target.as_str().strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9876 1 0 100 0 0 10 0
   1: 0B004D0A:0016 01004D0A:A1B2 01 00000000:00000000 02:000A1B2C 00000000     0        0 55 2 0 20 4 30 10 -1
   2: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1 0 100
  3: nothing of the kind
";
        assert_eq!(parse(table), [(2379, 9876), (8080, 77)]);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn a_port_of_this_program_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ours = fs::read_to_string(Utf8Path::new("/proc/self/comm")).unwrap();
        let found = taken();
        assert!(found.is_sorted());
        let found: Vec<&TakenPort> = found.iter().filter(|taken| taken.port == port).collect();
        assert_eq!(found, [&TakenPort { port, program: Some(ours.trim_end().to_owned()) }]);
    }
}
