//! The fixed-newstyle handshake: options until the client chooses an export, upgrades to TLS, or leaves.
//!
//! Nothing is read ahead, so that no byte sent in the clear can be taken for one sent within TLS. What was negotiated
//! in the clear is forgotten when TLS begins. Every wrong option gets an error reply; what cannot be followed any
//! more (a wrong magic, an over-long option, too many of them) ends the connection.

use super::{
    Shared, Tls,
    exports::ExportUse,
    options::{
        ContextRequest, InfoRequest, OPTION_LEN, parse_header, reply, reply_context, reply_info, reply_server,
    },
};
use crate::{
    proto::{MAGIC_INIT, MAGIC_OPTION, handshake_flag, option, option_reply},
    transmission::{Spoken, for_client},
};
use std::io::{self, Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest data of an option in bytes: a name of 4096 and more facts than there are.
const DATA_MAX: u32 = 16 << 10;
/// Longer data than [`DATA_MAX`] is read over up to this length, so that the client learns why.
const SKIP_MAX: u32 = 1 << 20;
/// Options of one handshake; real clients send under ten.
const OPTIONS_MAX: u32 = 128;

/// How a handshake went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// On to the transmission phase.
    Transmit { used: ExportUse, spoken: Spoken },
    /// The client waits for a TLS handshake; afterwards comes [`Handshake::options`] again.
    StartTls,
    /// The client left as it may.
    Over,
}

/// The state of a handshake.
#[derive(Debug)]
pub(super) struct Handshake<'a> {
    shared: &'a Shared,
    encrypted: bool,
    no_zeroes: bool,
    structured: bool,
    /// The export of which the client wants to know what holds data.
    allocation: Option<String>,
    options: u32,
}

/// Whether the option loop goes on.
enum Next {
    Option,
    End(Outcome),
}

impl<'a> Handshake<'a> {
    /// Exchanges greetings.
    pub(super) async fn greet<S>(shared: &'a Shared, stream: &mut S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let flags = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        let greeting = [
            &MAGIC_INIT.to_be_bytes()[..],
            &MAGIC_OPTION.to_be_bytes(),
            &flags.to_be_bytes(),
        ]
        .concat();
        stream.write_all(&greeting).await?;
        let theirs = stream.read_u32().await?;
        if theirs & !u32::from(flags) != 0 {
            return Err(invalid("unknown flags in a client's greeting"));
        }
        let no_zeroes = theirs & u32::from(handshake_flag::NO_ZEROES) != 0;
        Ok(Self {
            shared,
            encrypted: false,
            no_zeroes,
            structured: false,
            allocation: None,
            options: 0,
        })
    }

    /// Starts over within TLS.
    pub(super) fn encrypted(self) -> Self {
        Self {
            encrypted: true,
            structured: false,
            allocation: None,
            ..self
        }
    }

    /// Answers options until the outcome is known.
    pub(super) async fn options<S>(&mut self, stream: &mut S) -> io::Result<Outcome>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        loop {
            let mut header = [0; OPTION_LEN];
            stream.read_exact(&mut header).await?;
            let (option, len) =
                parse_header(&header).ok_or_else(|| invalid("an option without its magic"))?;
            self.options += 1;
            if self.options > OPTIONS_MAX || len > SKIP_MAX {
                return Err(invalid("a handshake of unreasonable length"));
            }
            let mut out = Vec::new();
            let next = if len > DATA_MAX {
                tokio::io::copy(&mut stream.take(u64::from(len)), &mut tokio::io::sink()).await?;
                if option == option::EXPORT_NAME {
                    return Err(invalid("an export name of unreasonable length"));
                }
                reply(
                    &mut out,
                    option,
                    option_reply::ERR_TOO_BIG,
                    b"the option's data are too long",
                );
                Next::Option
            } else {
                let mut data = vec![0; len as usize];
                stream.read_exact(&mut data).await?;
                self.answer(option, &data, &mut out)?
            };
            stream.write_all(&out).await?;
            stream.flush().await?;
            if let Next::End(outcome) = next {
                return Ok(outcome);
            }
        }
    }

    fn answer(&mut self, option: u32, data: &[u8], out: &mut Vec<u8>) -> io::Result<Next> {
        let clear = matches!(self.shared.tls, Tls::Require(_)) && !self.encrypted;
        let takes_data = matches!(option, option::EXPORT_NAME | option::INFO | option::GO);
        match option {
            option::ABORT => {
                reply(out, option, option_reply::ACK, &[]);
                return Ok(Next::End(Outcome::Over));
            }
            option::EXPORT_NAME if clear => {
                return Err(invalid("a client in the clear where TLS is required"));
            }
            option::EXPORT_NAME => return self.export_name(data, out),
            option::STARTTLS if !matches!(self.shared.tls, Tls::Off) => {
                if self.encrypted || !data.is_empty() {
                    reply(
                        out,
                        option,
                        option_reply::ERR_INVALID,
                        b"TLS starts once, and without data",
                    );
                    return Ok(Next::Option);
                }
                reply(out, option, option_reply::ACK, &[]);
                return Ok(Next::End(Outcome::StartTls));
            }
            _ if clear => reply(
                out,
                option,
                option_reply::ERR_TLS_REQD,
                b"this server requires TLS",
            ),
            option::LIST | option::STRUCTURED_REPLY if !takes_data && !data.is_empty() => {
                reply(
                    out,
                    option,
                    option_reply::ERR_INVALID,
                    b"this option takes no data",
                );
            }
            option::LIST => {
                for export in self.shared.exports.all() {
                    reply_server(out, option, &export);
                }
                reply(out, option, option_reply::ACK, &[]);
            }
            option::STRUCTURED_REPLY => {
                self.structured = true;
                reply(out, option, option_reply::ACK, &[]);
            }
            option::INFO | option::GO => return Ok(self.info(option, data, out)),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(option, data, out),
            _ => reply(
                out,
                option,
                option_reply::ERR_UNSUP,
                b"this server does not have that option",
            ),
        }
        Ok(Next::Option)
    }

    /// The contexts of block status that a client asks for; setting them, it has those and no others.
    fn contexts(&mut self, option: u32, data: &[u8], out: &mut Vec<u8>) {
        let sets = option == option::SET_META_CONTEXT;
        if sets {
            self.allocation = None;
        }
        let invalid = option_reply::ERR_INVALID;
        if !self.structured {
            return reply(out, option, invalid, b"contexts want structured replies");
        }
        let Some(request) = ContextRequest::parse(data) else {
            return reply(out, option, invalid, b"the option's data do not add up");
        };
        if self.shared.exports.find(request.name).is_none() {
            return reply(out, option, option_reply::ERR_UNKNOWN, b"there is no such export");
        }
        if request.wants_allocation(sets) {
            reply_context(out, option, sets);
            if sets {
                self.allocation = Some(request.name.to_owned());
            }
        }
        reply(out, option, option_reply::ACK, &[]);
    }

    /// What was negotiated for an export.
    fn spoken(&self, name: &str) -> Spoken {
        Spoken {
            structured: self.structured,
            allocation: self.allocation.as_deref() == Some(name),
        }
    }

    fn info(&self, option: u32, data: &[u8], out: &mut Vec<u8>) -> Next {
        let Some(request) = InfoRequest::parse(data) else {
            reply(
                out,
                option,
                option_reply::ERR_INVALID,
                b"the option's data do not add up",
            );
            return Next::Option;
        };
        let found = self
            .shared
            .exports
            .find(request.name)
            .and_then(|export| export.open());
        let Some(used) = found else {
            reply(out, option, option_reply::ERR_UNKNOWN, b"there is no such export");
            return Next::Option;
        };
        reply_info(out, option, &used.export, &request, self.structured);
        reply(out, option, option_reply::ACK, &[]);
        match option {
            option::GO => Next::End(Outcome::Transmit {
                used,
                spoken: self.spoken(request.name),
            }),
            _ => Next::Option,
        }
    }

    /// The old way to choose an export, which knows no errors.
    fn export_name(&self, data: &[u8], out: &mut Vec<u8>) -> io::Result<Next> {
        let name = std::str::from_utf8(data).map_err(|_| invalid("an export name that is no UTF-8"))?;
        let found = self.shared.exports.find(name).and_then(|export| export.open());
        let used = found.ok_or_else(|| invalid("a client asked for an export that is not there"))?;
        let geometry = used.export.device.geometry();
        out.extend_from_slice(&geometry.size.to_be_bytes());
        out.extend_from_slice(&for_client(&geometry, self.structured).to_be_bytes());
        if !self.no_zeroes {
            out.extend_from_slice(&[0; 124]);
        }
        Ok(Next::End(Outcome::Transmit {
            used,
            spoken: self.spoken(name),
        }))
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
