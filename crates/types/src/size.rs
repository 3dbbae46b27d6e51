//! Sizes in bytes, as people write them: `10G`, `1.5T`, `4096`. Units are 1024-based, as in the field.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A number of bytes. Written `10G`, shown `10 GiB`, in JSON a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

/// A size that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with an optional unit.
    #[error("\"{0}\" is not a size: write a number and a unit, such as 512M, 10G or 1.5T")]
    Syntax(String),
    /// Larger than 2^64-1 bytes.
    #[error("\"{0}\" is more than 64 bits of bytes")]
    TooLarge(String),
    /// A fraction that is no whole number of bytes.
    #[error("\"{0}\" is not a whole number of bytes")]
    Fraction(String),
}

const UNITS: [(&str, u32); 6] = [("k", 10), ("m", 20), ("g", 30), ("t", 40), ("p", 50), ("e", 60)];

impl FromStr for ByteCount {
    type Err = SizeError;

    /// Takes `N[.N][k|M|G|T|P|E][iB|B]`, in either case; `B` alone means bytes.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let syntax = || SizeError::Syntax(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let end = lower
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(lower.len());
        let (number, unit) = (&lower[..end], lower[end..].trim());
        let unit = unit
            .strip_suffix("ib")
            .filter(|u| !u.is_empty())
            .or(unit.strip_suffix('b'))
            .unwrap_or(unit);
        let shift = match unit {
            "" => 0,
            u => UNITS.iter().find(|(name, _)| *name == u).ok_or_else(syntax)?.1,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || number.ends_with('.') || fraction.len() > 18 || fraction.contains('.') {
            return Err(syntax());
        }
        let too_large = || SizeError::TooLarge(text.to_owned());
        let whole: u128 = whole.parse().map_err(|_| too_large())?;
        let mut bytes = whole.checked_mul(1 << shift).ok_or_else(too_large)?;
        if !fraction.is_empty() {
            let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| syntax())?);
            let part = fraction.parse::<u128>().map_err(|_| syntax())? << shift;
            if part % scale != 0 {
                return Err(SizeError::Fraction(text.to_owned()));
            }
            bytes += part / scale;
        }
        u64::try_from(bytes).map(Self).map_err(|_| too_large())
    }
}

impl fmt::Display for ByteCount {
    /// The largest unit that keeps at most two decimals exact, else one decimal: `10 GiB`, `1.5 TiB`, `513 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().rev().find(|(_, shift)| self.0 >> shift != 0);
        let text = match unit {
            None => format!("{} B", self.0),
            Some((name, shift)) => {
                let hundredths = (u128::from(self.0) * 100) >> shift;
                let (whole, rest) = (hundredths / 100, hundredths % 100);
                let name = if *name == "k" {
                    "K".to_owned()
                } else {
                    name.to_ascii_uppercase()
                };
                match rest {
                    0 => format!("{whole} {name}iB"),
                    r if r % 10 == 0 => format!("{whole}.{} {name}iB", r / 10),
                    r => format!("{whole}.{r:02} {name}iB"),
                }
            }
        };
        f.pad(&text)
    }
}

impl From<u64> for ByteCount {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_in_many_ways() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512b", 512),
            ("1k", 1024),
            ("1K", 1024),
            ("1KiB", 1024),
            ("10G", 10 << 30),
            ("10 GiB", 10 << 30),
            ("1.5T", 3 << 39),
            ("15E", 15 << 60),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        assert!(matches!("".parse::<ByteCount>(), Err(SizeError::Syntax(_))));
        assert!(matches!("G".parse::<ByteCount>(), Err(SizeError::Syntax(_))));
        assert!(matches!("-1".parse::<ByteCount>(), Err(SizeError::Syntax(_))));
        assert!(matches!("1.".parse::<ByteCount>(), Err(SizeError::Syntax(_))));
        assert!(matches!("10Q".parse::<ByteCount>(), Err(SizeError::Syntax(_))));
        assert!(matches!("16E".parse::<ByteCount>(), Err(SizeError::TooLarge(_))));
        assert!(matches!("0.3k".parse::<ByteCount>(), Err(SizeError::Fraction(_))));
        assert!(matches!("1e9".parse::<ByteCount>(), Err(SizeError::Syntax(_))));
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (513, "513 B"),
            (10 << 30, "10 GiB"),
            (3 << 39, "1.5 TiB"),
            (1 << 10, "1 KiB"),
            (1_100_000, "1.04 MiB"),
        ] {
            assert_eq!(ByteCount(bytes).to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<ByteCount>();
        }
    }
}
