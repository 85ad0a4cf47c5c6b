//! Images that tests make, and what nodes have of them.

use std::collections::BTreeMap;

use lab::fs;

use super::TestLab;

/// What `lab reload-images -o json` prints.
#[derive(Debug, serde::Deserialize)]
pub struct Reloaded {
    pub made: BTreeMap<String, Vec<String>>,
    pub nodes: BTreeMap<String, Loaded>,
    /// The units that were started again.
    pub restarted: Vec<String>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
pub struct Loaded {
    pub images: Vec<String>,
    pub sent_bytes: u64,
    pub skipped_bytes: u64,
}

impl Reloaded {
    /// Returns what each node was sent.
    pub fn sent(&self) -> Vec<u64> {
        self.nodes.values().map(|node| node.sent_bytes).collect()
    }
}

#[track_caller]
pub fn reload(lab: &TestLab, args: &[&str]) -> Reloaded {
    let out = lab.ok(["reload-images", "-o", "json"].iter().chain(args).copied());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// Writes an image that prints what is in its file, with a layer of `filler` bytes that nothing packs.
#[track_caller]
pub fn write_image(lab: &TestLab, name: &str, filler: usize) {
    // A program that needs nothing else: it is static.
    let program = fs::read(camino::Utf8Path::new(env!("CARGO_BIN_EXE_labd"))).expect("labd was built");
    lab.write(&format!("images/{name}/program"), program);
    lab.write(&format!("images/{name}/filler"), noise(filler));
    lab.write(&format!("images/{name}/text"), "one");
    let dockerfile = "FROM scratch\nCOPY --chmod=755 program /program\nCOPY filler /filler\nCOPY text /text\n\
                      CMD [\"/program\", \"version\"]\n";
    let dockerfile = dockerfile.replace("--chmod=755 ", "");
    lab.write(&format!("images/{name}/Dockerfile"), dockerfile);
    let program = lab.project().join(format!("images/{name}/program"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program, mode).expect("the file is ours");
}

/// Returns bytes that look like chance and are the same in each run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// Returns the id that a node's engine has for a name.
#[track_caller]
pub fn id_on(lab: &TestLab, node: &str, name: &str) -> String {
    lab.sh(node, &format!("docker inspect --format '{{{{.Id}}}}' {name}")).trim().to_owned()
}
