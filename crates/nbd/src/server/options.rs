//! The handshake's options as bytes: what a client asks, and what is answered. No I/O.

use super::exports::Export;
use crate::{
    proto::{MAGIC_OPTION, MAGIC_OPTION_REPLY, allocation, info, option_reply},
    transmission::{block_sizes, for_client},
};

/// Bytes of an option's header: magic 8, option 4, length 4.
pub(super) const OPTION_LEN: usize = 16;

/// An option's number and the length of its data; `None` where the magic is wrong.
pub(super) fn parse_header(bytes: &[u8; OPTION_LEN]) -> Option<(u32, u32)> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (option, rest) = rest.split_first_chunk()?;
    let (len, _) = rest.split_first_chunk()?;
    (u64::from_be_bytes(*magic) == MAGIC_OPTION)
        .then(|| (u32::from_be_bytes(*option), u32::from_be_bytes(*len)))
}

/// What INFO and GO carry: an export's name and which facts are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InfoRequest<'a> {
    pub(super) name: &'a str,
    wanted: Vec<u16>,
}

impl<'a> InfoRequest<'a> {
    /// `None` where lengths do not add up or the name is no UTF-8.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let (name, rest) = text(data)?;
        let (count, rest) = rest.split_first_chunk()?;
        let (pairs, []) = rest.as_chunks() else {
            return None;
        };
        let wanted: Vec<_> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        let complete = wanted.len() == usize::from(u16::from_be_bytes(*count));
        Some(Self {
            name: std::str::from_utf8(name).ok()?,
            wanted,
        })
        .filter(|_| complete)
    }
}

/// What the options about contexts carry: an export's name, and what is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContextRequest<'a> {
    pub(super) name: &'a str,
    queries: Vec<&'a [u8]>,
}

impl<'a> ContextRequest<'a> {
    /// `None` where lengths do not add up or the name is no UTF-8.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let (name, rest) = text(data)?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut queries = Vec::new();
        while !rest.is_empty() {
            let (query, after) = text(rest)?;
            queries.push(query);
            rest = after;
        }
        let complete = queries.len() == u32::from_be_bytes(*count) as usize;
        let name = std::str::from_utf8(name).ok()?;
        Some(Self { name, queries }).filter(|_| complete)
    }

    /// Setting wants the whole name; a list has all of a name space, or all there are.
    pub(super) fn wants_allocation(&self, sets: bool) -> bool {
        let is_it = |query: &&[u8]| *query == allocation::NAME.as_bytes() || !sets && *query == b"base:";
        self.queries.iter().any(is_it) || !sets && self.queries.is_empty()
    }
}

/// A length of four bytes and as many bytes, and what is behind them.
fn text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

/// The one context that there is; its number means something only where it is set.
pub(super) fn reply_context(out: &mut Vec<u8>, option: u32, is_set: bool) {
    let id = if is_set { allocation::ID } else { 0 };
    let data = [&id.to_be_bytes()[..], allocation::NAME.as_bytes()].concat();
    reply(out, option, option_reply::META_CONTEXT, &data);
}

/// One reply to `option`.
pub(super) fn reply(out: &mut Vec<u8>, option: u32, kind: u32, data: &[u8]) {
    out.extend_from_slice(&MAGIC_OPTION_REPLY.to_be_bytes());
    out.extend_from_slice(&option.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(data);
}

/// One entry of LIST.
pub(super) fn reply_server(out: &mut Vec<u8>, option: u32, export: &Export) {
    let mut data = u32::try_from(export.name.len())
        .unwrap_or_default()
        .to_be_bytes()
        .to_vec();
    data.extend_from_slice(export.name.as_bytes());
    data.extend_from_slice(export.description.as_bytes());
    reply(out, option, option_reply::SERVER, &data);
}

/// The facts that INFO and GO answer: size and flags and block sizes always, the rest where it is wanted.
pub(super) fn reply_info(
    out: &mut Vec<u8>,
    option: u32,
    export: &Export,
    request: &InfoRequest<'_>,
    structured: bool,
) {
    let geometry = export.device.geometry();
    let mut put = |kind: u16, parts: &[&[u8]]| {
        let data = [&kind.to_be_bytes()[..], &parts.concat()].concat();
        reply(out, option, option_reply::INFO, &data);
    };
    put(
        info::EXPORT,
        &[
            &geometry.size.to_be_bytes(),
            &for_client(&geometry, structured).to_be_bytes(),
        ],
    );
    put(
        info::BLOCK_SIZE,
        &[block_sizes(&geometry).map(u32::to_be_bytes).as_flattened()],
    );
    if request.wanted.contains(&info::NAME) {
        put(info::NAME, &[export.name.as_bytes()]);
    }
    if request.wanted.contains(&info::DESCRIPTION) && !export.description.is_empty() {
        put(info::DESCRIPTION, &[export.description.as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_asked_for_by_name_or_name_space() {
        let asked = |queries: &[&[u8]]| {
            let count = u32::try_from(queries.len()).unwrap().to_be_bytes();
            let mut data = [&b"\0\0\0\x01d"[..], &count].concat();
            for query in queries {
                data.extend_from_slice(&u32::try_from(query.len()).unwrap().to_be_bytes());
                data.extend_from_slice(query);
            }
            data
        };
        for (queries, listed, set) in [
            (&[][..], true, false),
            (&[&b"base:"[..]], true, false),
            (&[b"qemu:dirty-bitmap:a", b"base:allocation"], true, true),
            (&[b"base:allocation2"], false, false),
        ] {
            let data = asked(queries);
            let request = ContextRequest::parse(&data).unwrap();
            assert_eq!((request.name, request.queries.as_slice()), ("d", queries));
            let wants = [false, true].map(|sets| request.wants_allocation(sets));
            assert_eq!(wants, [listed, set], "{queries:?}");
            for cut in 0..data.len() {
                assert_eq!(ContextRequest::parse(&data[..cut]), None, "{cut}");
            }
        }
    }

    #[test]
    fn info_requests_must_add_up() {
        let good = b"\0\0\0\x02ab\0\x02\0\x01\0\x03";
        assert_eq!(
            InfoRequest::parse(good),
            Some(InfoRequest {
                name: "ab",
                wanted: vec![1, 3]
            })
        );
        for cut in 0..good.len() {
            assert_eq!(InfoRequest::parse(&good[..cut]), None, "{cut}");
        }
        assert_eq!(InfoRequest::parse(b"\0\0\0\x02ab\0\x02\0\x01\0\x03\0\x04"), None);
        assert_eq!(InfoRequest::parse(b"\xff\xff\xff\xffab\0\0"), None);
        assert_eq!(InfoRequest::parse(b"\0\0\0\x01\xff\0\0"), None);
    }
}
