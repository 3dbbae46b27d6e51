//! Basic authentication (RFC 7617; CDMI 5.4).
//!
//! Every known user is compared with, and each comparison looks at every byte, so that the time tells nothing about which part
//! was wrong. Passwords are never logged and never in an error.

use crate::config::Auth;
use crate::error::{Error, Result, ServeError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The users, as `name:password`.
pub(super) struct Users(Vec<String>);

impl Users {
    pub(super) fn load(auth: &Auth) -> std::result::Result<Self, ServeError> {
        let mut users: Vec<String> = auth
            .users
            .iter()
            .map(|user| format!("{}:{}", user.name, user.password))
            .collect();
        if let Some(path) = &auth.file {
            let failed = |reason: String| ServeError::File {
                what: "users",
                path: path.clone(),
                reason,
            };
            let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
            for (number, line) in text
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            {
                if !line.contains(':') {
                    return Err(failed(format!("line {} is not name:password", number + 1)));
                }
                users.push(line.to_owned());
            }
        }
        if users.iter().any(|user| user.starts_with(':')) {
            return Err(ServeError::Config("a user has an empty name".to_owned()));
        }
        Ok(Users(users))
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<()> {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, credentials)| STANDARD.decode(credentials.trim()).ok())
            .ok_or(Error::Unauthorized)?;
        let known = self
            .0
            .iter()
            .fold(false, |known, user| same(&given, user.as_bytes()) | known);
        if known { Ok(()) } else { Err(Error::Unauthorized) }
    }
}

/// Compares in a time that depends on the length of `given` alone.
fn same(given: &[u8], known: &[u8]) -> bool {
    let mut difference = given.len() ^ known.len();
    for (index, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ known.get(index).copied().unwrap_or(0));
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::User;

    #[test]
    fn only_known_users_get_in() {
        let users = Users::load(&Auth {
            users: vec![User {
                name: "a".into(),
                password: "b:c".into(),
            }],
            file: None,
        })
        .unwrap();
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            users.check(&headers).is_ok()
        };
        assert!(
            check(&format!("Basic {}", STANDARD.encode("a:b:c")))
                && check(&format!("basic {}", STANDARD.encode("a:b:c")))
        );
        for bad in ["a:b", "a:b:cc", "a:b:\0", "", "a", ":", "x:b:c"] {
            assert!(!check(&format!("Basic {}", STANDARD.encode(bad))), "{bad}");
        }
        assert!(!check("Basic !!!") && !check("Bearer x") && users.check(&HeaderMap::new()).is_err());
    }
}
