//! What a flush of a log volume waits for.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// This host's disk: the store follows within a second or so, while it is there.
    #[default]
    Local,
    /// The store: nothing that was flushed is lost with this host.
    Remote,
}

impl Durability {
    /// The name in commands, listings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    /// The one that is not spelled out.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl std::str::FromStr for Durability {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Local, Self::Remote]
            .into_iter()
            .find(|durability| durability.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no durability: choose local or remote"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_written() {
        for durability in [Durability::Local, Durability::Remote] {
            assert_eq!(durability.as_str().parse(), Ok(durability));
            let json = format!("\"{}\"", durability.as_str());
            assert_eq!(serde_json::to_string(&durability).unwrap(), json);
        }
        assert!("both".parse::<Durability>().is_err());
    }
}
