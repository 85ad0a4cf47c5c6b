//! The real `lab` without root, Docker or network: exact output, files and exit codes, and the rules of the
//! source. Snapshots are renewed with `INSTA_UPDATE=always cargo test --release --test it`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod engine;
mod file;
mod keep;
mod kit;
mod missing;
mod stack;
mod tidy;
mod usage;
mod vagrant;
