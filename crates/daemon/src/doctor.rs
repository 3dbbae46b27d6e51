//! What the host can do and what is missing, in words that say what to do. Runs in the daemon, and without one.

use crate::{host, transports::Transports};
use restblk_api::{Check, CheckState, HostInfo, HostReport, Pool, PoolState};
use restblk_device::{Availability, TransportKind};
use std::path::Path;

/// The report where no daemon answers: what concerns the host alone.
pub async fn report() -> HostReport {
    let mut checks = host_checks();
    let best = transport_checks(&Transports::new().survey().await, &mut checks);
    HostReport {
        checks,
        best_transport: best,
    }
}

pub(crate) async fn of_daemon(transports: &Transports, pools: &[Pool], info: &HostInfo) -> HostReport {
    let mut checks = host_checks();
    checks.push(Check {
        name: "daemon".into(),
        state: CheckState::Ok,
        detail: format!(
            "version {}, process {}, since {}",
            info.version, info.pid, info.started_at
        ),
    });
    let best = transport_checks(&transports.survey().await, &mut checks);
    if pools.is_empty() {
        checks.push(Check {
            name: "pool".into(),
            state: CheckState::Warn,
            detail: "there is none: restblk pool create NAME --store cdmi --url URL".into(),
        });
    }
    for pool in pools {
        let (state, detail) = match pool.state {
            PoolState::Ready => (
                CheckState::Ok,
                format!("{} mirror(s), the store was proved", pool.mirrors.len()),
            ),
            PoolState::Unreachable => (
                CheckState::Fail,
                format!(
                    "no mirror answers: {}",
                    pool.problem.as_deref().unwrap_or("no reason known")
                ),
            ),
            PoolState::Refused => (CheckState::Fail, pool.problem.clone().unwrap_or_default()),
        };
        checks.push(Check {
            name: format!("pool/{}", pool.spec.name),
            state,
            detail,
        });
    }
    HostReport {
        checks,
        best_transport: best,
    }
}

fn host_checks() -> Vec<Check> {
    let uname = rustix::system::uname();
    let mut checks = vec![Check {
        name: "host/kernel".into(),
        state: CheckState::Ok,
        detail: format!("{} on {}", uname.release().to_string_lossy(), host::hostname()),
    }];
    let root = rustix::process::geteuid().is_root();
    checks.push(Check {
        name: "host/privileges".into(),
        state: if root { CheckState::Ok } else { CheckState::Fail },
        detail: if root {
            "root".into()
        } else {
            "not root: devices cannot be made; run the daemon as root (clients need only the socket)".into()
        },
    });
    // Bit 24 of the capability sets: CAP_SYS_RESOURCE, which PR_SET_IO_FLUSHER needs.
    let io_flusher = capability(24);
    checks.push(Check {
        name: "host/memory-reclaim".into(),
        state: if io_flusher { CheckState::Ok } else { CheckState::Warn },
        detail: if io_flusher {
            "the daemon can mark itself as one that completes I/O".into()
        } else {
            "CAP_SYS_RESOURCE is missing: devices work, but can lock up when memory is short (in a container: --cap-add SYS_RESOURCE)".into()
        },
    });
    let dev = Path::new("/dev");
    let devtmpfs = rustix::fs::statfs(dev).is_ok_and(|fs| matches!(fs.f_type, 0x0102_1994 | 0x1cd1));
    if !devtmpfs {
        checks.push(Check {
            name: "host/dev".into(),
            state: CheckState::Warn,
            detail: "/dev is no devtmpfs: nodes of new devices may not appear by themselves".into(),
        });
    }
    checks
}

fn capability(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> bit & 1 == 1)
}

fn transport_checks(survey: &[(TransportKind, Availability)], checks: &mut Vec<Check>) -> Option<String> {
    let best = survey
        .iter()
        .find(|(_, found)| found.available)
        .map(|(kind, _)| kind.to_string());
    for (kind, found) in survey {
        // One that is missing is a fault only where there is no better one.
        let state = match (found.available, &best) {
            (true, _) if found.limits.is_empty() => CheckState::Ok,
            (true, _) | (false, Some(_)) => CheckState::Warn,
            (false, None) => CheckState::Fail,
        };
        let limits = found
            .limits
            .iter()
            .map(|limit| format!("; {limit}"))
            .collect::<String>();
        checks.push(Check {
            name: format!("transport/{kind}"),
            state,
            detail: format!("{}{limits}", found.detail),
        });
    }
    best
}
