//! Amounts of memory and disk, as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, written `512MiB`, `1.5GiB` or `1073741824`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a size: {reason}")]
pub struct BadBytes {
    text: String,
    reason: &'static str,
}

const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Engines and kernels count in signed numbers.
const MOST: u128 = i64::MAX as u128;

impl Bytes {
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Returns how many bytes a unit is worth. Like Docker, `G`, `Gi`, `GB` and `GiB` all mean 1024³.
fn unit(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    if lower.is_empty() || lower == "b" {
        return Some(1);
    }
    let is_written_so = |name: &str| {
        let name = name.to_ascii_lowercase();
        [&name, &name[..2], &name[..1], &name.replace('i', "")].contains(&lower.as_str())
    };
    UNITS.iter().find(|(name, _)| is_written_so(name)).map(|(_, factor)| *factor)
}

/// Multiplies a decimal number such as `1.5`, in whole numbers so that nothing is rounded twice.
fn multiply(number: &str, factor: u64) -> Result<u128, &'static str> {
    const DIGITS: usize = 9;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err("it is written like 512MiB, 2GiB or 1.5G");
    }
    if fraction.len() > DIGITS {
        return Err("it has too many digits behind the point");
    }
    let whole: u64 = whole.parse().map_err(|_| "it is too large")?;
    let fraction: u128 = format!("{fraction:0<DIGITS$}").parse().expect("nine digits are a number");
    Ok(u128::from(whole) * u128::from(factor) + fraction * u128::from(factor) / 10_u128.pow(9))
}

impl FromStr for Bytes {
    type Err = BadBytes;

    fn from_str(text: &str) -> Result<Self, BadBytes> {
        let bad = |reason| BadBytes { text: text.to_owned(), reason };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, name) = text.split_at(end);
        let factor = unit(name.trim_start()).ok_or(bad("its unit is one of KiB, MiB, GiB and TiB"))?;
        match multiply(number, factor).map_err(bad)? {
            bytes if bytes > MOST => Err(bad("it is too large")),
            bytes => Ok(Self(u64::try_from(bytes).expect("MOST is less than any u64 can hold"))),
        }
    }
}

impl fmt::Display for Bytes {
    /// Rounds down to two digits, so that what is below a limit never looks like the limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((name, factor)) = UNITS.into_iter().find(|(_, factor)| self.0 >= *factor) else {
            return f.pad(&format!("{}B", self.0));
        };
        let hundredths = u128::from(self.0 % factor) * 100 / u128::from(factor);
        let number = format!("{}.{hundredths:02}", self.0 / factor);
        f.pad(&format!("{}{name}", number.trim_end_matches('0').trim_end_matches('.')))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: u64, shown: &str) {
        assert_eq!(text.parse(), Ok(Bytes::new(bytes)), "{text}");
        assert_eq!(Bytes::new(bytes).to_string(), shown);
    }

    #[test]
    fn sizes_are_read_and_shown() {
        check("0", 0, "0B");
        check("1023b", 1023, "1023B");
        check("512MiB", 512 << 20, "512MiB");
        check("512 m", 512 << 20, "512MiB");
        check("2G", 2 << 30, "2GiB");
        check("2Gi", 2 << 30, "2GiB");
        check("2gb", 2 << 30, "2GiB");
        check("1.5GiB", 1536 << 20, "1.5GiB");
        check("1073741824", 1 << 30, "1GiB");
        check("268435455", (256 << 20) - 1, "255.99MiB");
        check("10KiB", 10 << 10, "10KiB");
        check("3TiB", 3 << 40, "3TiB");
        check("9223372036854775807", i64::MAX as u64, "8388607.99TiB");
        assert_eq!(Bytes::mebibytes(256), Bytes::new(256 << 20));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "written like"),
            ("GiB", "written like"),
            ("1..5G", "written like"),
            ("1.G", "written like"),
            (".5G", "written like"),
            ("-1G", "unit"),
            ("1e9", "unit"),
            ("2 parsecs", "unit"),
            ("½G", "unit"),
            ("8388608TiB", "too large"),
            ("99999999999999999999", "too large"),
            ("0.0000000001T", "too many digits"),
        ] {
            let error = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_never_more_than_there_is(bytes in 0..=i64::MAX as u64) {
            let read: Bytes = Bytes::new(bytes).to_string().parse().unwrap();
            prop_assert!(read.get() <= bytes && read.get() >= bytes / 100 * 99);
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9.]{0,30}[kKmMgGtTiIbB ]{0,4}") {
            drop(text.parse::<Bytes>());
        }
    }
}
