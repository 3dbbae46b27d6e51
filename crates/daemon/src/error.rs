//! Errors of the engine, the stores and the transports as the API tells them. A message completes "failed to …".

use restblk_api::ErrorBody;
use restblk_device::DeviceError;
use restblk_engine::EngineError;
use restblk_store::StoreError;
use restblk_types::ErrorKind;

/// What every operation of the daemon returns.
pub(crate) type Result<T> = std::result::Result<T, ErrorBody>;

/// What to try next, where the kind alone tells.
fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => {
            Some("check the pool's user, password file and certificates (restblk pool show)")
        }
        ErrorKind::Unavailable | ErrorKind::Retry => {
            Some("check the store and the network; restblk mirror list tells each server's last error")
        }
        ErrorKind::NoSpace => Some("free space on the store, or raise its quota"),
        ErrorKind::Bug => Some("this should not happen: please report it with the daemon's log"),
        _ => None,
    }
}

pub(crate) fn body(kind: ErrorKind, message: String) -> ErrorBody {
    let body = ErrorBody::new(kind, message);
    match hint(kind) {
        Some(hint) => body.hint(hint),
        None => body,
    }
}

/// For `map_err`.
pub(crate) fn engine(error: EngineError) -> ErrorBody {
    body(error.kind(), error.to_string())
}

/// For `map_err`.
pub(crate) fn store(error: StoreError) -> ErrorBody {
    body(error.kind(), error.to_string())
}

/// For `map_err`.
pub(crate) fn device(error: DeviceError) -> ErrorBody {
    ErrorBody::new(error.kind(), error.to_string())
}
