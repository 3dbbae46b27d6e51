//! The transports of this host, the best first, and the choice among them.

use crate::{error, error::Result};
use restblk_api::{ErrorBody, TransportChoice};
use restblk_device::{Availability, Transport, TransportKind};
use restblk_loop::HelperProgram;
use restblk_types::ErrorKind;
use std::sync::Arc;

/// The command of our own program for small processes beside us, which serve the loop transport.
const LOOP_HELPER: &str = "__loop-helper";

/// All transports.
#[derive(Debug)]
pub(crate) struct Transports(Vec<Arc<dyn Transport>>);

impl Transports {
    pub(crate) fn new() -> Self {
        let all: Vec<Arc<dyn Transport>> = vec![
            Arc::new(restblk_ublk::UblkTransport::new()),
            Arc::new(restblk_nbd::NbdTransport::default()),
            Arc::new(restblk_loop::LoopTransport::new(HelperProgram::this_program([
                LOOP_HELPER,
            ]))),
        ];
        debug_assert!(all.iter().map(|t| t.kind()).eq(TransportKind::ALL));
        Self(all)
    }

    /// The transport of a kind.
    pub(crate) fn get(&self, kind: TransportKind) -> Result<&Arc<dyn Transport>> {
        self.0
            .iter()
            .find(|t| t.kind() == kind)
            .ok_or_else(|| ErrorBody::new(ErrorKind::Bug, format!("no transport {kind}")))
    }

    /// The transport that was asked for, or the best one, if it works here.
    pub(crate) async fn choose(
        &self,
        choice: TransportChoice,
    ) -> Result<(&Arc<dyn Transport>, Availability)> {
        let wanted = match choice {
            TransportChoice::Ublk => Some(TransportKind::Ublk),
            TransportChoice::Nbd => Some(TransportKind::Nbd),
            TransportChoice::Loop => Some(TransportKind::Loop),
            TransportChoice::Auto | TransportChoice::NbdExport => None,
        };
        let mut missing = Vec::new();
        for transport in &self.0 {
            if wanted.is_some_and(|kind| kind != transport.kind()) {
                continue;
            }
            let found = transport.probe().await;
            if found.available {
                return Ok((transport, found));
            }
            missing.push(format!("{}: {}", transport.kind(), found.detail));
        }
        Err(error::body(
            ErrorKind::Unsupported,
            format!("use a transport of this host: {}", missing.join("; ")),
        )
        .hint("restblk doctor tells what is missing; restblk export needs none of them"))
    }

    /// Each with what was found.
    pub(crate) async fn survey(&self) -> Vec<(TransportKind, Availability)> {
        let mut all = Vec::new();
        for transport in &self.0 {
            all.push((transport.kind(), transport.probe().await));
        }
        all
    }
}
