//! The region that signatures name: configured, read from the host's name, or learned from the server's refusal.

use super::xml::Failure;
use crate::http::Answer;
use http::header::HeaderName;
use std::sync::{PoisonError, RwLock};

const TELLS: HeaderName = HeaderName::from_static("x-amz-bucket-region");
/// What servers without regions take, and where Amazon's global host is.
const USUAL: &str = "us-east-1";

/// The region, as far as it is known.
#[derive(Debug)]
pub(super) struct Region {
    now: RwLock<String>,
    /// Somebody said so: it is not to be learned.
    configured: bool,
}

impl Region {
    pub(super) fn new(configured: Option<String>, guess: Option<String>) -> Self {
        Self {
            configured: configured.is_some(),
            now: RwLock::new(configured.or(guess).unwrap_or_else(|| USUAL.to_owned())),
        }
    }

    pub(super) fn get(&self) -> String {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the region that a refusal names. True where it is another than the one that was `used`: the request can be signed
    /// anew and sent again.
    pub(super) fn learn(&self, told: Option<String>, used: &str) -> bool {
        let Some(told) = told.filter(|told| told != used && !self.configured) else {
            return false;
        };
        tracing::info!(region = told, "the server names its region");
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = told;
        true
    }
}

/// The region that an answer names.
pub(super) fn told(answer: &Answer, failure: Option<&Failure>) -> Option<String> {
    let header = answer.headers.get(TELLS).and_then(|value| value.to_str().ok());
    let told = header
        .or(failure.and_then(|failure| failure.region.as_deref()))?
        .trim();
    // It becomes a part of the signature's scope.
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!told.is_empty() && told.len() <= 64 && told.chars().all(plain)).then(|| told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_region_stays() {
        let region = Region::new(Some("here".into()), Some("there".into()));
        assert!(!region.learn(Some("elsewhere".into()), "here"));
        assert_eq!(region.get(), "here");
    }

    #[test]
    fn another_region_is_learned_once() {
        let region = Region::new(None, None);
        assert_eq!(region.get(), "us-east-1");
        assert!(!region.learn(None, "us-east-1") && !region.learn(Some("us-east-1".into()), "us-east-1"));
        assert!(region.learn(Some("garage".into()), "us-east-1"));
        assert_eq!(region.get(), "garage");
        // A request that was signed before goes again, with what was learned since.
        assert!(region.learn(Some("garage".into()), "us-east-1"));
        assert!(!region.learn(Some("garage".into()), "garage"));
    }
}
