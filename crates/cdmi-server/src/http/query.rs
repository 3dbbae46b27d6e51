//! A request's query: `?a=b&c` in CDMI 2.0, `?a:b;c` in 1.x. Our extensions have the form of 2.0 in both.

use crate::error::{Error, Result};
use percent_encoding::percent_decode_str;

/// The query of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    items: Vec<(String, Option<String>)>,
}

/// What our extensions ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    Size(u64),
    Punch(u64, u64),
    Flush,
}

/// What is done about an object's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockMode {
    Acquire,
    Steal,
    Check,
    Release,
}

impl Query {
    pub(super) fn parse(raw: Option<&str>, style_1x: bool) -> Result<Self> {
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| Error::bad("the query is not UTF-8"))
        };
        let mut items = Vec::new();
        for item in raw
            .unwrap_or("")
            .split(|c| c == '&' || (style_1x && c == ';'))
            .filter(|item| !item.is_empty())
        {
            let (name, value) = match item.split_once(|c| c == '=' || (style_1x && c == ':')) {
                Some((name, value)) => (name, Some(decode(value)?)),
                None => (item, None),
            };
            items.push((decode(name)?, value));
        }
        Ok(Query { items })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.items.iter().any(|(key, _)| key == name)
    }

    /// The value of the first item of this name that has one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.items
            .iter()
            .find(|(key, value)| key == name && value.is_some())
            .and_then(|(_, value)| value.as_deref())
    }

    /// The values of all items of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.items
            .iter()
            .filter(move |(key, _)| key == name)
            .filter_map(|(_, value)| value.as_deref())
    }

    /// A change must understand all of its query: what it does not know, it cannot have done.
    pub(super) fn only(&self, known: &[&str]) -> Result<()> {
        match self.items.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(Error::Bad(format!(
                "the query has {key}, which means nothing to this request"
            ))),
            None => Ok(()),
        }
    }

    /// Whether the change is answered only when it is durable.
    pub(super) fn flush(&self) -> bool {
        self.has("restblk_flush")
    }

    /// What the query asks of the object's lock, if anything.
    pub(super) fn lock(&self) -> Result<Option<LockMode>> {
        if !self.has("restblk_lock") {
            return Ok(None);
        }
        self.only(&["restblk_lock", "restblk_owner"])?;
        match self.get("restblk_lock") {
            Some("acquire") => Ok(Some(LockMode::Acquire)),
            Some("steal") => Ok(Some(LockMode::Steal)),
            Some("check") => Ok(Some(LockMode::Check)),
            Some("release") => Ok(Some(LockMode::Release)),
            _ => Err(Error::bad("restblk_lock is acquire, steal, check or release")),
        }
    }

    /// The extension that the query names, if any; `Flush` only when it stands alone.
    pub(super) fn extension(&self) -> Result<Option<Extension>> {
        let extension = match (self.has("restblk_size"), self.has("restblk_punch")) {
            (true, true) => return Err(Error::bad("restblk_size and restblk_punch cannot be joined")),
            (true, false) => Some(Extension::Size(number(self.get("restblk_size").unwrap_or(""))?)),
            (false, true) => {
                let (first, last) = range(self.get("restblk_punch").unwrap_or(""))?;
                Some(Extension::Punch(first, last))
            }
            (false, false) => self.flush().then_some(Extension::Flush),
        };
        if extension.is_some() && self.all("restblk_flush").next().is_some() {
            return Err(Error::bad("restblk_flush has no value"));
        }
        Ok(extension)
    }
}

/// A decimal number without sign.
pub(super) fn number(text: &str) -> Result<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(Error::Bad(format!("{text:?} is not a number of bytes"))),
    }
}

/// `A-B`, both inclusive.
pub(super) fn range(text: &str) -> Result<(u64, u64)> {
    let (first, last) = text
        .split_once('-')
        .ok_or_else(|| Error::Bad(format!("{text:?} is not a range A-B")))?;
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        Err(Error::Bad(format!("the range {text} ends before it begins")))
    } else {
        Ok((first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles() {
        let two = Query::parse(Some("children=0-9&childrenrange&metadata=a%3Db"), false).unwrap();
        assert_eq!(
            (two.get("children"), two.has("childrenrange"), two.get("metadata")),
            (Some("0-9"), true, Some("a=b"))
        );
        let one = Query::parse(Some("children:0-9;childrenrange"), true).unwrap();
        assert_eq!(
            (one.get("children"), one.has("childrenrange")),
            (Some("0-9"), true)
        );
        assert!(two.only(&["children", "metadata"]).is_err());
    }

    #[test]
    fn locks() {
        let of = |raw: &str| Query::parse(Some(raw), false).unwrap().lock();
        assert_eq!(
            of("restblk_lock=steal&restblk_owner=me").unwrap(),
            Some(LockMode::Steal)
        );
        assert_eq!(of("restblk_flush").unwrap(), None);
        for bad in [
            "restblk_lock",
            "restblk_lock=Steal",
            "restblk_lock=check&restblk_flush",
            "restblk_lock=check&restblk_size=1",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn extensions() {
        let of = |raw: &str| Query::parse(Some(raw), false).unwrap().extension();
        assert_eq!(
            of("restblk_size=10&restblk_flush").unwrap(),
            Some(Extension::Size(10))
        );
        assert_eq!(of("restblk_punch=1-2").unwrap(), Some(Extension::Punch(1, 2)));
        assert_eq!(of("restblk_flush").unwrap(), Some(Extension::Flush));
        assert_eq!(of("value=1-2").unwrap(), None);
        for bad in [
            "restblk_size",
            "restblk_size=-1",
            "restblk_size=+1",
            "restblk_punch=2-1",
            "restblk_size=1&restblk_punch=1-2",
            "restblk_flush=x",
            "restblk_size=99999999999999999999",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
