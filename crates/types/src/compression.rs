//! How the data of a log volume is packed.

use serde::{Deserialize, Serialize};

/// See the module. What does not get shorter is stored as it is, whatever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    None,
    /// Fast: it costs less time than it saves on the way to the store.
    #[default]
    Lz4,
    /// Shorter, for more work of the processor.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Lz4, Self::Zstd];

    /// The name in commands, listings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The one that is not spelled out.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl std::str::FromStr for Compression {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no compression: choose lz4, zstd or none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_written() {
        for one in Compression::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
            let json = format!("\"{}\"", one.as_str());
            assert_eq!(serde_json::to_string(&one).unwrap(), json);
        }
        assert!("gzip".parse::<Compression>().is_err());
    }
}
