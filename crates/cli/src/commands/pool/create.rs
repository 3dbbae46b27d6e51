//! `restblk pool create`: make a repository of volumes known to this host.

use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Args;
use restblk_api::{MirrorSpec, OutagePolicy, PoolSpec};
use restblk_types::{ErrorKind, PoolName, RateLimits};
use std::path::{Path, PathBuf};

/// Make a pool: a repository of volumes on a store, with its mirrors and credentials
///
/// The store is proved first: one that cannot tell whose create of two came first is refused, with the reason. On one that cannot write in
/// place no direct volume can be made. Volumes that are in the repository already are seen at once.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the pool on this host
    name: PoolName,
    /// Protocol of the store: cdmi, s3, azure, webdav, swift, gcs, file or memory
    #[arg(short, long, default_value = "cdmi")]
    store: String,
    /// URL of the container or bucket that holds the volumes, once for each mirror; for the store file a directory
    #[arg(short, long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// Dialect of CDMI or WebDAV, such as cdmi2 or content-range (docs/stores.md) [default: found by probing]
    #[arg(long)]
    dialect: Option<String>,
    /// User for Basic authentication; for s3 the id of the access key, for azure the account
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with the password, secret key or token, readable by the daemon
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// PEM file of certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file of this client's certificate chain
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// PEM file of this client's key
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// A setting of this kind of store, such as region=eu-west-1; once for each (docs/stores.md)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Seconds until a request without an answer is given up and tried elsewhere
    #[arg(long, value_name = "SECONDS")]
    request_timeout: Option<u32>,
    /// Connections to each mirror at the most
    #[arg(long, value_name = "N")]
    connections: Option<u32>,
    /// Milliseconds that a change needs to be seen through the other mirrors; until then it is read through the one that took it
    #[arg(long, value_name = "MS")]
    propagation_ms: Option<u32>,
    /// What I/O does while no mirror answers: wait, or fail-after=SECONDS
    #[arg(long, value_name = "POLICY", value_parser = on_outage, default_value = "wait")]
    on_outage: OutagePolicy,
    /// Allow a store without exclusive create: you know that no other host uses the repository
    #[arg(long)]
    single_host: bool,
}

impl Create {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let spec = self.spec()?;
        let pool = session
            .call(
                &format!("create the pool {}", self.name),
                session.client.create_pool(&spec),
            )
            .await?;
        session.result(&pool, |pool| format!("{}\n", pool.spec.name))?;
        if let Some(proven) = &pool.proven {
            if let Some(dialect) = &proven.dialect {
                session.note(format!("the store speaks {dialect}"));
            }
            if !proven.write_in_place {
                session.note("limit: it does not write in place: direct volumes cannot be made here");
            }
            for note in &proven.notes {
                session.note(format!("note: {note}"));
            }
            if !proven.write_in_place {
                return Ok(());
            }
        }
        if pool.proven.is_none_or(|proven| proven.write_in_place) {
            session.note(format!("next: restblk create {}/disk1 10G", self.name));
        }
        Ok(())
    }

    fn spec(&self) -> Result<PoolSpec> {
        let urls: Result<Vec<MirrorSpec>> = self.urls.iter().map(|url| Ok(self.url(url)?.into())).collect();
        let urls = urls?;
        if urls.is_empty() && self.store != "memory" {
            return Err(Failure::new(ErrorKind::Invalid, "a pool needs at least one --url")
                .what(format!("create the pool {}", self.name))
                .hint("give the container with the volumes, such as --url http://store.example/cdmi/2.0.0/volumes/"));
        }
        if self.password_file.is_some() && self.user.is_none() && self.store != "azure" {
            return Err(Failure::new(ErrorKind::Invalid, "a password needs a --user")
                .what(format!("create the pool {}", self.name))
                .hint("give both or none; only azure knows the account from its URL"));
        }
        Ok(PoolSpec {
            name: self.name.clone(),
            store: self.store.clone(),
            urls,
            dialect: self.dialect.clone(),
            user: self.user.clone(),
            password_file: path(self.password_file.as_deref())?,
            ca_file: path(self.ca_file.as_deref())?,
            cert_file: path(self.cert_file.as_deref())?,
            key_file: path(self.key_file.as_deref())?,
            settings: self.settings.iter().cloned().collect(),
            request_timeout_s: self.request_timeout,
            connections_max: self.connections,
            propagation_ms: self.propagation_ms,
            on_outage: self.on_outage,
            rate_limits: RateLimits::default(),
            single_host: self.single_host,
        })
    }

    /// For a store of files a path; else as it is given.
    fn url(&self, url: &str) -> Result<String> {
        if self.store == "file" && !url.contains("://") {
            return absolute(Path::new(url));
        }
        Ok(url.to_owned())
    }
}

fn path(path: Option<&Path>) -> Result<Option<String>> {
    path.map(absolute).transpose()
}

/// The daemon works in another directory, so that a relative path would mean something else to it.
fn absolute(path: &Path) -> Result<String> {
    let whole = std::path::absolute(path)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok());
    whole.ok_or_else(|| {
        Failure::new(
            ErrorKind::Invalid,
            format!("{} is no path that can be sent to the daemon", path.display()),
        )
    })
}

fn on_outage(text: &str) -> std::result::Result<OutagePolicy, String> {
    if text == "wait" {
        return Ok(OutagePolicy::Wait);
    }
    let seconds = text
        .strip_prefix("fail-after=")
        .and_then(|seconds| seconds.parse().ok());
    seconds
        .map(OutagePolicy::FailAfter)
        .ok_or_else(|| format!("\"{text}\" is no policy: write wait, or such as fail-after=60 (seconds)"))
}

fn setting(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is no setting: write NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        assert_eq!(on_outage("wait"), Ok(OutagePolicy::Wait));
        assert_eq!(on_outage("fail-after=60"), Ok(OutagePolicy::FailAfter(60)));
        for text in [
            "",
            "fail",
            "fail-after",
            "fail-after=",
            "fail-after=-1",
            "fail-after=1m",
        ] {
            assert!(on_outage(text).is_err(), "{text}");
        }
    }
}
