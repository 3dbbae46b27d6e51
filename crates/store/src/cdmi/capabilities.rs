//! What a server in a dialect is expected to do: by the dialect, and by what the server itself advertises. All of it is
//! still to be proved.

use super::client::CdmiStore;
use super::dialect::Dialect;
use super::json::Advertised;
use super::target;
use crate::{Capabilities, Durability, Resize, StoreError};
use http::Method;
use http::header::{ACCEPT, HeaderValue};
use restblk_types::ErrorKind;

/// Scality's `value_transfer_maxsize`.
const RANGE_LEN_SCALITY: u64 = 1 << 20;
/// For a server that does not say. Large bodies in place are where unknown limits lie.
const RANGE_LEN_UNKNOWN: u64 = 4 << 20;
/// Above this a range does not get faster, and buffers get large.
const RANGE_LEN_MAX: u64 = 16 << 20;
/// Whole objects are metadata and segments, held in memory.
const PUT_LEN_MAX: u64 = 64 << 20;
const DESCRIPTION_LEN_MAX: u64 = 1 << 20;

/// By the dialect alone.
pub(super) fn expected(dialect: Dialect) -> Capabilities {
    let srb = dialect == Dialect::Srb;
    Capabilities {
        exclusive_create: true,
        compare_and_set: !srb,
        atomic_put: !srb,
        write_at: true,
        write_align: 1,
        resize: if srb { Resize::Native } else { Resize::ByWriting },
        punch: false,
        durability: if dialect.has_scal_headers() {
            Durability::OnFlush
        } else {
            Durability::Unstated
        },
        durable_write: false,
        lock: false,
        list: true,
        range_len_max: if dialect.has_scal_headers() {
            RANGE_LEN_SCALITY
        } else {
            RANGE_LEN_UNKNOWN
        },
        put_len_max: PUT_LEN_MAX,
    }
}

impl CdmiStore {
    /// By the dialect and by what the server advertises.
    pub(super) async fn advertised(&self) -> Result<Capabilities, StoreError> {
        let mut can = expected(self.dialect);
        if self.dialect == Dialect::Srb {
            return Ok(can);
        }
        let Some(says) = self.describe().await? else {
            return Ok(can);
        };
        if says.has("restblk_set_size") {
            can.resize = Resize::Native;
        }
        can.punch = says.has("restblk_punch");
        can.lock = says.has("restblk_lock");
        if says.has("restblk_flush") {
            can.durability = Durability::OnFlush;
            can.durable_write = true;
        }
        if let Some(len) = says.number("restblk_range_bytes_max") {
            can.range_len_max = len.clamp(1, RANGE_LEN_MAX);
        }
        Ok(can)
    }

    /// The system's capabilities, where they can be found.
    async fn describe(&self) -> Result<Option<Advertised>, StoreError> {
        for root in target::roots(self.http.endpoint().prefix()) {
            let accept = (ACCEPT, HeaderValue::from_static("application/cdmi-capability"));
            let mut call = self.call(Method::GET, format!("{root}cdmi_capabilities/"), vec![accept]);
            call.headers.extend(self.version());
            call.answer_len_max = DESCRIPTION_LEN_MAX;
            match self
                .ask(call, "read the capabilities of", &"the server", false)
                .await
            {
                Ok(answer) if answer.status.is_success() => {
                    if let Some(says) = Advertised::read(&answer.body.into_bytes()) {
                        return Ok(Some(says));
                    }
                }
                Ok(answer) if answer.status == http::StatusCode::UNAUTHORIZED => {
                    return Err(self.refused(answer, "read the capabilities of", &"the server", false));
                }
                Ok(_) => {}
                // Too long for capabilities: some page.
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
