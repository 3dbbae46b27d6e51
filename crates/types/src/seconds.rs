//! Lengths of time as people write them: `90s`, `12h`, `7d`.

use std::{fmt, str::FromStr};

/// Units by their letter, in seconds, the largest first.
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no length of time: write a number and its unit, such as 90s, 30m, 12h, 7d or 2w")]
pub struct SecondsError(String);

impl FromStr for Seconds {
    type Err = SecondsError;

    /// Takes `N` with `s`, `m`, `h`, `d` or `w`; a 0 needs no unit.
    fn from_str(text: &str) -> Result<Self, SecondsError> {
        let wrong = || SecondsError(text.to_owned());
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let each = match unit.trim() {
            "" if number == 0 => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
        };
        number.checked_mul(each).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Seconds {
    /// In the largest unit that leaves nothing over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(unit.1);
        match UNITS.iter().find(whole) {
            Some((name, each)) => write!(f, "{}{name}", self.0 / each),
            None => write!(f, "0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_units() {
        for (text, seconds) in [
            ("0", 0),
            ("90s", 90),
            ("30m", 1800),
            (" 12 h ", 43_200),
            ("7d", 604_800),
        ] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)), "{text}");
        }
        for wrong in [
            "",
            "7",
            "d",
            "-1d",
            "1.5h",
            "7 days",
            "99999999999999999999w",
            "18446744073709551615w",
        ] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1, 59, 60, 3600, 86_400, 604_800, 604_801] {
            assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
        }
        assert_eq!(Seconds(1_209_600).to_string(), "2w");
    }
}
