//! The blocks of tar that say what follows them, as far as images need them.

pub const BLOCK: usize = 512;

pub type Block = [u8; BLOCK];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    /// A folder, a device: nothing follows, whatever the header says.
    Bare,
    /// The name of the next entry.
    LongName,
    /// Where the next entry leads.
    LongTarget,
    /// More about the next entry.
    Extension,
    Sparse,
    /// Something that is passed over.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub path: String,
    /// Where a link leads.
    pub target: String,
    pub kind: Kind,
    /// How much follows.
    pub size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its length is not a number")]
    Size,
    #[error("its extension is not in order")]
    Extension,
}

/// Reads a block; `None` for one of zeros, which ends an archive.
pub fn parse(block: &Block) -> Result<Option<Header>, BadHeader> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if !is_sum_right(block) {
        return Err(BadHeader::Checksum);
    }
    let path = match &block[257..265] {
        b"ustar\x0000" if block[345] != 0 => format!("{}/{}", text(&block[345..500]), text(&block[..100])),
        _ => text(&block[..100]),
    };
    let kind = match block[156] {
        // Before there was a type for them, folders were told by their names.
        b'\0' if path.ends_with('/') => Kind::Bare,
        b'0' | b'7' | b'\0' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3'..=b'6' => Kind::Bare,
        b'L' => Kind::LongName,
        b'K' => Kind::LongTarget,
        b'x' => Kind::Extension,
        b'S' => Kind::Sparse,
        _ => Kind::Unknown,
    };
    let size = match kind {
        Kind::HardLink | Kind::Symlink | Kind::Bare => 0,
        _ => number(&block[124..136]).ok_or(BadHeader::Size)?,
    };
    Ok(Some(Header { path, target: text(&block[157..257]), kind, size }))
}

/// Sums the block with its checksum as blanks. Some old archivers counted bytes as signed.
fn is_sum_right(block: &Block) -> bool {
    let Some(stated) = number(&block[148..156]).and_then(|sum| i64::try_from(sum).ok()) else { return false };
    let others = || block[..148].iter().chain(&block[156..]);
    let unsigned: i64 = others().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = others().map(|byte| i64::from(byte.cast_signed())).sum();
    let blanks = 8 * i64::from(b' ');
    stated == unsigned + blanks || stated == signed + blanks
}

/// Reads octal digits, or, for what they are too few for, a binary number. Nothing is ever negative.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 == 0 {
        let digits = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
        let is_octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        return match digits {
            "" => Some(0),
            digits if is_octal => u64::from_str_radix(digits, 8).ok(),
            _ => None,
        };
    }
    let (high, low) = field.split_at(field.len().checked_sub(8)?);
    let is_small = high.iter().enumerate().all(|(at, byte)| if at == 0 { *byte == 0x80 } else { *byte == 0 });
    let number = low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (is_small && i64::try_from(number).is_ok()).then_some(number)
}

/// Reads a name up to its end. One that is not text cannot be one that matters.
pub fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// What an extension says instead of the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extension {
    pub path: Option<String>,
    pub target: Option<String>,
    pub size: Option<u64>,
    pub is_sparse: bool,
}

/// Reads lines such as `18 path=manifest\n`, of which the number says how long they are.
pub fn extension(mut records: &[u8]) -> Result<Extension, BadHeader> {
    let mut found = Extension::default();
    while !records.is_empty() {
        let (record, rest) = split_record(records).ok_or(BadHeader::Extension)?;
        records = rest;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BadHeader::Extension)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" | b"linkpath" if value.contains(&0) => return Err(BadHeader::Extension),
            b"path" => found.path = said(value),
            b"linkpath" => found.target = said(value),
            b"size" => found.size = said(value).map(|size| decimal(&size)).transpose()?,
            key if key.starts_with(b"GNU.sparse.") => found.is_sparse = true,
            _ => {}
        }
    }
    Ok(found)
}

fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    Some((record.get(blank + 1..)?.strip_suffix(b"\n")?, rest))
}

/// No value means that the header counts again.
fn said(value: &[u8]) -> Option<String> {
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}

fn decimal(size: &str) -> Result<u64, BadHeader> {
    let is_plain = size.bytes().all(|byte| byte.is_ascii_digit());
    let size = size.parse::<i64>().ok().filter(|_| is_plain);
    size.and_then(|size| u64::try_from(size).ok()).ok_or(BadHeader::Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(change: impl FnOnce(&mut tar::Header)) -> Block {
        let mut header = tar::Header::new_gnu();
        header.set_path("a/b").unwrap();
        header.set_size(7);
        change(&mut header);
        header.set_cksum();
        *header.as_bytes()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut tar::Header), want: Result<(&str, &str, Kind, u64), BadHeader>) {
        let found = parse(&block(change)).map(|header| header.unwrap());
        let want = want.map(|(path, target, kind, size)| Header {
            path: path.to_owned(),
            target: target.to_owned(),
            kind,
            size,
        });
        assert_eq!(found, want);
    }

    fn size_field(header: &mut tar::Header, bytes: [u8; 12]) {
        header.as_mut_bytes()[124..136].copy_from_slice(&bytes);
    }

    #[test]
    fn headers_are_read_as_they_are_written() {
        check(|_| (), Ok(("a/b", "", Kind::File, 7)));
        check(|h| h.set_size(9 << 30), Ok(("a/b", "", Kind::File, 9 << 30)));
        check(|h| h.set_size(1 << 40), Ok(("a/b", "", Kind::File, 1 << 40)));
        check(|h| h.set_entry_type(tar::EntryType::dir()), Ok(("a/b", "", Kind::Bare, 0)));
        check(
            |h| {
                h.set_entry_type(tar::EntryType::symlink());
                h.set_link_name("../c").unwrap();
            },
            Ok(("a/b", "../c", Kind::Symlink, 0)),
        );
        check(|h| h.set_entry_type(tar::EntryType::new(b'Z')), Ok(("a/b", "", Kind::Unknown, 7)));
        check(|h| h.set_entry_type(tar::EntryType::fifo()), Ok(("a/b", "", Kind::Bare, 0)));
        assert_eq!(parse(&[0; BLOCK]), Ok(None));
    }

    #[test]
    fn a_long_name_of_posix_is_in_two_parts() {
        let mut header = tar::Header::new_ustar();
        let path = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        header.set_path(&path).unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(parse(header.as_bytes()).unwrap().unwrap().path, path);
    }

    #[test]
    fn what_is_not_a_number_is_not_guessed() {
        check(|h| size_field(h, *b"0000000008 \0"), Err(BadHeader::Size));
        check(|h| size_field(h, *b"-0000000007\0"), Err(BadHeader::Size));
        check(|h| size_field(h, [0xff; 12]), Err(BadHeader::Size));
        check(|h| size_field(h, [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BadHeader::Size));
        check(|h| size_field(h, [0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(BadHeader::Size));
        check(|h| size_field(h, *b"           \0"), Ok(("a/b", "", Kind::File, 0)));
        let mut wrong = block(|_| ());
        wrong[0] ^= 1;
        assert_eq!(parse(&wrong), Err(BadHeader::Checksum));
        assert_eq!(parse(&[0xff; BLOCK]), Err(BadHeader::Checksum));
    }

    #[test]
    fn extensions_are_taken_at_their_word_or_not_at_all() {
        let said = extension(b"12 path=a/b\n10 size=9\n14 linkpath=c\n21 comment=whatever\n");
        assert_eq!(said, Err(BadHeader::Extension), "the last one is shorter than it says");
        let said = extension(b"12 path=a/b\n10 size=9\n14 linkpath=c\n13 comment=x\n").unwrap();
        let want = (Some("a/b"), Some("c"), Some(9), false);
        assert_eq!((said.path.as_deref(), said.target.as_deref(), said.size, said.is_sparse), want);
        assert!(extension(b"22 GNU.sparse.major=1\n").unwrap().is_sparse);
        assert_eq!(extension(b"8 path=\n"), Ok(Extension::default()));
        for (bad, why) in [
            (&b"11 size=-1\n"[..], BadHeader::Size),
            (b"11 size=+1\n", BadHeader::Size),
            (b"29 size=99999999999999999999\n", BadHeader::Size),
            (b"99 path=a\n", BadHeader::Extension),
            (b"3 path=a\n", BadHeader::Extension),
            (b"0 path=a\n", BadHeader::Extension),
            (b"path=a\n", BadHeader::Extension),
            (b"11 path=a\0b\n", BadHeader::Extension),
            (b"7 path\n", BadHeader::Extension),
            (b"18446744073709551616 path=a\n", BadHeader::Extension),
        ] {
            assert_eq!(extension(bad), Err(why), "{}", String::from_utf8_lossy(bad));
        }
    }
}
