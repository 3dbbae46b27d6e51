//! A server's address: `http://host:port/path` and what is made of it for the wire.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What a path component may show unquoted (RFC 3986's unreserved characters).
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Quotes a path component.
pub(crate) fn quote(component: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(component, QUOTED)
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    host: Host,
    port: u16,
    /// Quoted; begins and ends with a slash.
    prefix: String,
}

/// A server's name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why text is no URL of a store. The text itself is not repeated where it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither `http://` nor `https://`.
    #[error("\"{0}\" is no URL of a store: write http://HOST[:PORT]/PATH or https://…")]
    Scheme(String),
    /// `user:password@`.
    #[error(
        "credentials do not belong in a URL, where logs show them: use `user` and `password_file` or `password_env`"
    )]
    Credentials,
    /// The host is missing or has odd characters.
    #[error("\"{0}\" is no host: write a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host(String),
    /// Not 1 to 65535.
    #[error("\"{0}\" is no port: write a number from 1 to 65535")]
    Port(String),
    /// A query, a fragment, or a path that climbs.
    #[error("the URL has {0}: write a path alone")]
    Path(&'static str),
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let url = url.trim();
        if let Some(authority) = url
            .split_once("://")
            .map_or(Some(url), |(_, rest)| rest.split(['/', '?', '#']).next())
            && authority.contains('@')
        {
            return Err(EndpointError::Credentials);
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| EndpointError::Scheme(url.to_owned()))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(EndpointError::Scheme(url.to_owned())),
        };
        if rest.contains('?') {
            return Err(EndpointError::Path("a query"));
        }
        if rest.contains('#') {
            return Err(EndpointError::Path("a fragment"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(text) => match text.parse() {
                Ok(port @ 1..) => port,
                _ => return Err(EndpointError::Port(text.to_owned())),
            },
        };
        let mut prefix = String::from("/");
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let part = percent_decode_str(part)
                .decode_utf8()
                .map_err(|_| EndpointError::Path("a part that is no UTF-8"))?;
            if matches!(&*part, "." | "..") || part.contains('/') || part.chars().any(char::is_control) {
                return Err(EndpointError::Path(
                    "a \".\", a \"..\", a quoted \"/\" or a control character",
                ));
            }
            prefix.extend(quote(&part));
            prefix.push('/');
        }
        Ok(Self {
            tls,
            host,
            port,
            prefix,
        })
    }
}

fn split_authority(authority: &str) -> Result<(Host, Option<&str>), EndpointError> {
    let wrong = || EndpointError::Host(authority.to_owned());
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or_else(wrong)?;
        let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or_else(wrong)?),
        };
        return Ok((Host::Address(address.into()), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((Host::Address(address), port));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
        return Err(wrong());
    }
    Ok((Host::Name(host.to_ascii_lowercase()), port))
}

impl Endpoint {
    /// The path under which everything lies: quoted, with a slash at both ends.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Scheme and authority, without a slash at the end.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host's name or address, in small letters, without the port.
    pub(crate) fn host_name(&self) -> String {
        self.host.to_string()
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host`: with the port unless it is the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let port = if self.port == usual {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        format!("{}{port}", self.host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_normalized() {
        for (url, shown) in [
            ("http://h", "http://h/"),
            ("HTTP://Store.Example:8080/a//b", "http://store.example:8080/a/b/"),
            ("https://h:443/x y/%C3%A4", "https://h/x%20y/%C3%A4/"),
            ("http://[::1]:81/", "http://[::1]:81/"),
            ("http://10.0.0.1:80/a%3Fb", "http://10.0.0.1/a%3Fb/"),
        ] {
            assert_eq!(url.parse::<Endpoint>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused() {
        for url in [
            "",
            "h",
            "ftp://h/",
            "http://",
            "http://:80/",
            "http://h:0/",
            "http://h:99999/",
            "http://h:x/",
            "http://h/?a",
            "http://h/#a",
            "http://h/../x",
            "http://h/%2e%2e/",
            "http://h/a%2fb",
            "http://h/%00",
            "http://::1/",
            "http://[::1/",
            "http://h ost/",
            "http://hä/",
            "http://h/%ff",
        ] {
            assert!(url.parse::<Endpoint>().is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        for url in ["http://me:hunter2@h/", "https://hunter2@h", "me:hunter2@h"] {
            let error = url.parse::<Endpoint>().unwrap_err();
            assert_eq!(error, EndpointError::Credentials);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(url in "(https?://)?.{0,60}") {
            if let Ok(endpoint) = url.parse::<Endpoint>() {
                proptest::prop_assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
            }
        }
    }
}
