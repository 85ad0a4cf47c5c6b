//! What chance makes of good archives: never a panic, never a file outside of the store, and never a blob
//! that is not what its name says.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Change {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Repeat { entry: usize },
    Swap { one: usize, other: usize },
    Drop { entry: usize },
    Retype { entry: usize, kind: u8 },
    Lengthen { entry: usize, size: u64 },
    Rename { entry: usize, path: &'static str },
    Retarget { entry: usize, target: &'static str },
}

const PATHS: [&str; 9] = [
    "../escape",
    "/escape",
    "a/../../escape",
    "manifest.json",
    "index.json",
    "aa/layer.tar",
    "lab/records/../../escape",
    "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
    "",
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        1 => at().prop_map(|at| Change::Cut { at }),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..700)).prop_map(|(at, bytes)| Change::Insert { at, bytes }),
        2 => at().prop_map(|entry| Change::Repeat { entry }),
        2 => (at(), at()).prop_map(|(one, other)| Change::Swap { one, other }),
        1 => at().prop_map(|entry| Change::Drop { entry }),
        2 => (at(), any::<u8>()).prop_map(|(entry, kind)| Change::Retype { entry, kind }),
        2 => (at(), any::<u64>(), 0..64u32).prop_map(|(entry, size, by)| Change::Lengthen { entry, size: size >> by }),
        2 => (at(), prop::sample::select(&PATHS[..])).prop_map(|(entry, path)| Change::Rename { entry, path }),
        1 => (at(), prop::sample::select(&PATHS[..])).prop_map(|(entry, target)| Change::Retarget { entry, target }),
    ]
}

/// Header and content, padded.
fn blocks(items: &[Item]) -> Vec<Vec<u8>> {
    let block = |item: &Item| {
        let padding = item.content.len().next_multiple_of(512) - item.content.len();
        [header(item).as_bytes().to_vec(), item.content.clone(), vec![0; padding]].concat()
    };
    items.iter().map(block).collect()
}

fn edit(block: &mut [u8], edit: impl FnOnce(&mut tar::Header)) {
    let mut header = tar::Header::from_byte_slice(&block[..512]).clone();
    edit(&mut header);
    header.set_cksum();
    block[..512].copy_from_slice(header.as_bytes());
}

fn set(field: &mut [u8], text: &str) {
    field.fill(0);
    field[..text.len()].copy_from_slice(text.as_bytes());
}

fn changed(items: &[Item], changes: &[Change], compression: Compression) -> Vec<u8> {
    let mut entries = blocks(items);
    for change in changes {
        let count = entries.len().max(1);
        match change {
            _ if entries.is_empty() => {}
            Change::Repeat { entry } => entries.push(entries[entry % count].clone()),
            Change::Swap { one, other } => entries.swap(one % count, other % count),
            Change::Drop { entry } => drop(entries.remove(entry % count)),
            Change::Retype { entry, kind } => {
                edit(&mut entries[entry % count], |header| header.as_mut_bytes()[156] = *kind);
            }
            Change::Lengthen { entry, size } => {
                edit(&mut entries[entry % count], |header| header.set_size(*size));
            }
            Change::Rename { entry, path } => {
                edit(&mut entries[entry % count], |header| set(&mut header.as_mut_bytes()[..100], path));
            }
            Change::Retarget { entry, target } => {
                edit(&mut entries[entry % count], |header| set(&mut header.as_mut_bytes()[157..257], target));
            }
            _ => {}
        }
    }
    entries.push(vec![0; 1024]);
    let mut archive = pack(&entries.concat(), compression);
    for change in changes {
        let length = archive.len().max(1);
        match change {
            _ if archive.is_empty() => {}
            Change::Flip { at, bit } => archive[at % length] ^= 1 << bit,
            Change::Cut { at } => archive.truncate(at % length),
            Change::Insert { at, bytes } => _ = archive.splice(at % length..at % length, bytes.clone()),
            _ => {}
        }
    }
    archive
}

fn archives() -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![
        Just(docker_24()),
        Just(oci_layout(Compression::None)),
        Just(oci_layout(Compression::Gzip)),
        Just(oci_layout(Compression::Zstd)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn whatever_is_changed_the_store_stays_right(
        items in archives(),
        changes in prop::collection::vec(change(), 1..6),
        packing in prop::sample::select(&[Compression::None, Compression::None, Compression::Gzip, Compression::Zstd][..]),
    ) {
        let archive = changed(&items, &changes, packing);
        let (_folder, store) = store();
        match read(&store, &archive) {
            Ok(images) => check_whole(&store, &images),
            Err(error) => {
                check_store(&store);
                let _ = (error.to_string(), error.hint());
            }
        }
    }

    #[test]
    fn noise_is_no_archive(mut noise in prop::collection::vec(any::<u8>(), 0..3000), magic in 0..3usize) {
        let magics: [&[u8]; 3] = [b"", &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd]];
        noise.splice(..0, magics[magic].iter().copied());
        let (_folder, store) = store();
        prop_assert!(read(&store, &noise).is_err());
        check_store(&store);
    }
}
