//! `add_urls` and `remove_urls`: the mirrors of a pool. The first URL makes the pool, the last one to go deletes it, so
//! that a script of 2014, which knows no pools, finds what it expects.
//!
//! Each URL stands for itself: the valid ones take effect, and the answer is the first error. Adding one that is there
//! already succeeds and changes nothing.

use crate::control::Control;
use crate::errno::{Refusal, Verb};
use http::Uri;
use nix::errno::Errno;
use restblk_api::client::ClientError;
use restblk_api::{OutagePolicy, Pool, PoolSpec};
use restblk_types::{ErrorKind, PoolName};

type Done = Result<(), Refusal>;

/// Adds mirrors.
pub(crate) async fn add(control: &Control, pool: &PoolName, urls: &[String]) -> Done {
    let _one_at_a_time = control.urls.lock().await;
    let mut known = match control.client.pool(pool).await {
        Ok(pool) => Some(urls_of(pool)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Refusal::of(Verb::AddUrls, error)),
    };
    let mut ended = Ok(());
    for url in urls {
        let added = match check(url) {
            Ok(()) => add_one(control, pool, url, &mut known).await,
            Err(refusal) => Err(refusal),
        };
        ended = ended.and(added);
    }
    ended
}

async fn add_one(control: &Control, pool: &PoolName, url: &str, known: &mut Option<Vec<String>>) -> Done {
    if known.iter().flatten().any(|other| same(other, url)) {
        return Ok(());
    }
    let changed: Result<Pool, ClientError> = match known {
        Some(_) => control.client.add_mirror(pool, &url.into()).await,
        None => control.client.create_pool(&spec(pool, url)).await,
    };
    match changed {
        Ok(changed) => *known = Some(urls_of(changed)),
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::Exists && known.is_some() => {}
        Err(error) => return Err(Refusal::of(Verb::AddUrls, error)),
    }
    Ok(())
}

/// The URLs of a pool's mirrors.
fn urls_of(pool: Pool) -> Vec<String> {
    pool.spec.urls.into_iter().map(|mirror| mirror.url).collect()
}

/// A pool as the driver knew it: CDMI, whatever dialect the store turns out to speak.
fn spec(pool: &PoolName, url: &str) -> PoolSpec {
    PoolSpec {
        name: pool.clone(),
        store: "cdmi".to_owned(),
        urls: vec![url.into()],
        dialect: None,
        user: None,
        password_file: None,
        ca_file: None,
        cert_file: None,
        key_file: None,
        rate_limits: restblk_types::RateLimits::default(),
        settings: std::collections::BTreeMap::new(),
        request_timeout_s: None,
        connections_max: None,
        propagation_ms: None,
        on_outage: OutagePolicy::Wait,
        single_host: false,
    }
}

/// Removes mirrors.
pub(crate) async fn remove(control: &Control, pool: &PoolName, urls: &[String]) -> Done {
    let _one_at_a_time = control.urls.lock().await;
    let found = control
        .client
        .pool(pool)
        .await
        .map_err(|error| Refusal::of(Verb::RemoveUrls, error))?;
    let mut known = urls_of(found);
    let mut ended = Ok(());
    for url in urls {
        let removed = match check(url) {
            Ok(()) => remove_one(control, pool, url, &mut known).await,
            Err(refusal) => Err(refusal),
        };
        ended = ended.and(removed);
    }
    ended
}

async fn remove_one(control: &Control, pool: &PoolName, url: &str, known: &mut Vec<String>) -> Done {
    let refuse = |error| Refusal::of(Verb::RemoveUrls, error);
    let Some(index) = known.iter().position(|other| same(other, url)) else {
        return Err(Refusal::new(
            Errno::ENOENT,
            format!("{url} is no mirror of {pool}"),
        ));
    };
    if known.len() > 1 {
        control
            .client
            .remove_mirror(pool, &known[index])
            .await
            .map_err(refuse)?;
    } else {
        let attachments = control.client.attachments().await.map_err(refuse)?;
        if let Some(attachment) = attachments
            .iter()
            .find(|attachment| attachment.volume.pool == *pool)
        {
            let reason = format!("{url} is the last mirror, and {} is attached", attachment.volume);
            return Err(Refusal::new(Errno::EBUSY, reason));
        }
        control.client.delete_pool(pool).await.map_err(refuse)?;
    }
    known.remove(index);
    Ok(())
}

/// Whether a URL is one: `http[s]://HOST[:PORT]/PATH`, without credentials, which `urls` would show to everyone.
fn check(url: &str) -> Done {
    let invalid = |why: &str| Err(Refusal::new(Errno::EINVAL, format!("\"{url}\" {why}")));
    let Ok(uri) = url.parse::<Uri>() else {
        return invalid("is no URL");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return invalid("does not begin with http:// or https://");
    }
    let Some(authority) = uri.authority() else {
        return invalid("names no host");
    };
    if authority.as_str().contains('@') {
        return invalid(
            "has credentials in it: `restblk pool create` takes a user and a file with the password",
        );
    }
    let port = authority
        .as_str()
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'));
    if authority.host().is_empty() || port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return invalid("has no host or no port that can be");
    }
    // Uri gives "/" for a path that was not written.
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    if !rest.contains('/') || uri.query().is_some() || url.contains('#') {
        return invalid("needs a path, and nothing behind it");
    }
    Ok(())
}

/// Whether two URLs name the same container.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_the_driver_did_and_with_names_tls_and_ipv6() {
        for url in [
            "http://127.0.0.1:443/volumes",
            "http://192.168.0.3/repository/",
            "https://store.example/cdmi/2.0.0/v/",
            "http://[::1]:8080/v",
            "http://h/",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "http://",
            "http:///v",
            "http://h",
            "h/v",
            "/v",
            "ftp://h/v",
            "http://h:99999/v",
            "http://h:/v",
            "http://h:x/v",
            "http://me:secret@h/v",
            "http://h/v?x=y",
            "http://h/v#x",
            "http://h/a b",
            "http://[::1/v",
        ] {
            assert_eq!(check(url).unwrap_err().errno, Errno::EINVAL, "{url}");
        }
    }

    #[test]
    fn a_slash_at_the_end_makes_no_other_url() {
        assert!(same("http://h/v", "http://h/v/") && !same("http://h/v", "http://h/w"));
    }
}
