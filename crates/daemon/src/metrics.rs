//! Every metric, once: name, unit, meaning, stability. docs/metrics.md is rendered from [`FAMILIES`] and compared by a test.
//!
//! Counters are plain atomics that the data path adds to; text is made when somebody asks.

use restblk_types::VolumeRef;
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A family of metrics.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    /// Names of its labels, for the document.
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/metrics.md is rendered from it"))]
    pub(crate) labels: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/metrics.md is rendered from it"))]
    pub(crate) unit: &'static str,
    pub(crate) help: &'static str,
}

/// All families. None is removed or changes its meaning within a major version.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "restblk_info",
        kind: "gauge",
        labels: "version, hostname",
        unit: "1",
        help: "The daemon that answers.",
    },
    Family {
        name: "restblk_volume_requests_total",
        kind: "counter",
        labels: "pool, volume, operation",
        unit: "requests",
        help: "Requests to an attached volume that were answered, well or not.",
    },
    Family {
        name: "restblk_volume_errors_total",
        kind: "counter",
        labels: "pool, volume, operation",
        unit: "requests",
        help: "Requests to an attached volume that failed.",
    },
    Family {
        name: "restblk_volume_bytes_total",
        kind: "counter",
        labels: "pool, volume, operation",
        unit: "bytes",
        help: "Bytes of the requests that succeeded.",
    },
    Family {
        name: "restblk_volume_request_seconds",
        kind: "histogram",
        labels: "pool, volume, operation",
        unit: "seconds",
        help: "Time from a request's arrival at the daemon to its answer.",
    },
    Family {
        name: "restblk_volume_throttled_seconds_total",
        kind: "counter",
        labels: "pool, volume",
        unit: "seconds",
        help: "Time that requests to an attached volume waited for the rate limits of the volume and its pool, all together.",
    },
    Family {
        name: "restblk_volume_size_bytes",
        kind: "gauge",
        labels: "pool, volume",
        unit: "bytes",
        help: "Size of an attached volume.",
    },
    Family {
        name: "restblk_log_put_bytes_total",
        kind: "counter",
        labels: "pool, volume",
        unit: "bytes",
        help: "Bytes that an open log volume has sent to its store since it was opened: with those that were written, its write amplification.",
    },
    Family {
        name: "restblk_log_fetched_bytes_total",
        kind: "counter",
        labels: "pool, volume",
        unit: "bytes",
        help: "Bytes that an open log volume has fetched from its store since it was opened.",
    },
    Family {
        name: "restblk_log_unsent_bytes",
        kind: "gauge",
        labels: "pool, volume",
        unit: "bytes",
        help: "Bytes that were written to an open log volume and are not on its store yet.",
    },
    Family {
        name: "restblk_log_lag_seconds",
        kind: "gauge",
        labels: "pool, volume",
        unit: "seconds",
        help: "How long the oldest of them has been waiting: what a lost host would cost.",
    },
    Family {
        name: "restblk_log_journal_used_bytes",
        kind: "gauge",
        labels: "pool, volume",
        unit: "bytes",
        help: "Bytes in use of the journal of an open log volume.",
    },
    Family {
        name: "restblk_log_journal_size_bytes",
        kind: "gauge",
        labels: "pool, volume",
        unit: "bytes",
        help: "Bytes that this journal has.",
    },
    Family {
        name: "restblk_attachment_state",
        kind: "gauge",
        labels: "pool, volume, transport, state",
        unit: "1",
        help: "One for the state that an attachment is in.",
    },
    Family {
        name: "restblk_cache_hits_total",
        kind: "counter",
        labels: "",
        unit: "pieces",
        help: "Pieces of log volumes that were read from the host's cache.",
    },
    Family {
        name: "restblk_cache_hit_bytes_total",
        kind: "counter",
        labels: "",
        unit: "bytes",
        help: "Their bytes, as they are stored.",
    },
    Family {
        name: "restblk_cache_misses_total",
        kind: "counter",
        labels: "",
        unit: "pieces",
        help: "Pieces that the cache was asked for and that were read from the store.",
    },
    Family {
        name: "restblk_cache_damaged_total",
        kind: "counter",
        labels: "",
        unit: "pieces",
        help: "Pieces that the cache's disk had damaged; each was read from the store.",
    },
    Family {
        name: "restblk_cache_dropped_total",
        kind: "counter",
        labels: "",
        unit: "pieces",
        help: "Pieces that were not cached because the cache's disk was behind.",
    },
    Family {
        name: "restblk_cache_failures_total",
        kind: "counter",
        labels: "",
        unit: "requests",
        help: "Reads and writes of the cache's disk that failed.",
    },
    Family {
        name: "restblk_mirror_up",
        kind: "gauge",
        labels: "pool, mirror",
        unit: "1",
        help: "One where requests go to the mirror, zero where it is down, drained, or of another repository.",
    },
    Family {
        name: "restblk_mirror_state",
        kind: "gauge",
        labels: "pool, mirror, state",
        unit: "1",
        help: "One for the state that a mirror is in: up, slow, half-open, down, draining, foreign.",
    },
    Family {
        name: "restblk_mirror_outstanding",
        kind: "gauge",
        labels: "pool, mirror",
        unit: "requests",
        help: "Requests to the mirror that are under way.",
    },
    Family {
        name: "restblk_mirror_share",
        kind: "gauge",
        labels: "pool, mirror",
        unit: "1",
        help: "The mirror's part of the pool's requests of the last 10 to 20 seconds.",
    },
    Family {
        name: "restblk_mirror_requests_total",
        kind: "counter",
        labels: "pool, mirror",
        unit: "requests",
        help: "Requests sent to the mirror.",
    },
    Family {
        name: "restblk_mirror_errors_total",
        kind: "counter",
        labels: "pool, mirror",
        unit: "requests",
        help: "Requests to the mirror that failed.",
    },
    Family {
        name: "restblk_mirror_latency_seconds",
        kind: "gauge",
        labels: "pool, mirror",
        unit: "seconds",
        help: "Smoothed time of the mirror's answers.",
    },
    Family {
        name: "restblk_mirror_latency_quantile_seconds",
        kind: "gauge",
        labels: "pool, mirror, quantile",
        unit: "seconds",
        help: "Quantiles of the mirror's answers of the last 10 to 20 seconds: 0.5, 0.95, 0.99.",
    },
    Family {
        name: "restblk_pool_retries_total",
        kind: "counter",
        labels: "pool",
        unit: "requests",
        help: "Second and further tries of requests to the pool's mirrors.",
    },
    Family {
        name: "restblk_pool_hedges_total",
        kind: "counter",
        labels: "pool",
        unit: "requests",
        help: "Reads that were sent to a second mirror because the first took long.",
    },
    Family {
        name: "restblk_pool_hedges_won_total",
        kind: "counter",
        labels: "pool",
        unit: "requests",
        help: "Such reads whose second answer came first.",
    },
    Family {
        name: "restblk_pool_outage_seconds_total",
        kind: "counter",
        labels: "pool",
        unit: "seconds",
        help: "Time in which requests waited because no mirror worked.",
    },
];

/// What a request does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Read,
    Write,
    Flush,
    Discard,
    WriteZeroes,
}

const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Read, "read"),
    (Operation::Write, "write"),
    (Operation::Flush, "flush"),
    (Operation::Discard, "discard"),
    (Operation::WriteZeroes, "write_zeroes"),
];

/// Upper bounds of the histogram's buckets, in microseconds: a decade in three steps, from a local cache to an outage.
const BUCKETS_US: [u64; 16] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    120_000_000,
];

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS_US.len()],
}

/// The counters of one volume.
#[derive(Debug, Default)]
pub(crate) struct VolumeMetrics {
    operations: [Counters; OPERATIONS.len()],
    /// Time that requests have waited for the rate limits, all together, in microseconds.
    pub(crate) throttled_us: Arc<AtomicU64>,
}

impl VolumeMetrics {
    /// One request that was answered.
    pub(crate) fn count(&self, operation: Operation, bytes: u64, took: Duration, ok: bool) {
        let counters = &self.operations[operation as usize];
        counters.requests.fetch_add(1, Ordering::Relaxed);
        if ok {
            counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counters.micros.fetch_add(micros, Ordering::Relaxed);
        if let Some(bucket) = BUCKETS_US.iter().position(|bound| micros <= *bound) {
            counters.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The counters of all volumes that were attached since the daemon's start: a counter never goes back.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    volumes: Mutex<BTreeMap<VolumeRef, Arc<VolumeMetrics>>>,
}

impl Registry {
    /// The counters of a volume.
    pub(crate) fn volume(&self, volume: &VolumeRef) -> Arc<VolumeMetrics> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(volumes.entry(volume.clone()).or_default())
    }

    /// The volumes' families.
    pub(crate) fn render(&self, text: &mut Text) {
        let volumes: Vec<_> = self
            .volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(v, m)| (v.clone(), Arc::clone(m)))
            .collect();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (family, field) in [
            ("restblk_volume_requests_total", 0),
            ("restblk_volume_errors_total", 1),
            ("restblk_volume_bytes_total", 2),
        ] {
            text.family(family);
            for (volume, metrics) in &volumes {
                for (operation, name) in OPERATIONS {
                    let c = &metrics.operations[operation as usize];
                    let value = [&c.requests, &c.errors, &c.bytes][field];
                    #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
                    text.sample(
                        family,
                        &[
                            ("pool", volume.pool.as_str()),
                            ("volume", &volume.in_pool()),
                            ("operation", name),
                        ],
                        read(value) as f64,
                    );
                }
            }
        }
        let family = "restblk_volume_throttled_seconds_total";
        text.family(family);
        for (volume, metrics) in &volumes {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
            let seconds = read(&metrics.throttled_us) as f64 / 1e6;
            let labels = [("pool", volume.pool.as_str()), ("volume", &volume.in_pool())];
            text.sample(family, &labels, seconds);
        }
        let family = "restblk_volume_request_seconds";
        text.family(family);
        for (volume, metrics) in &volumes {
            for (operation, name) in OPERATIONS {
                let c = &metrics.operations[operation as usize];
                let labels = [
                    ("pool", volume.pool.as_str()),
                    ("volume", &volume.in_pool()),
                    ("operation", name),
                ];
                text.histogram(
                    family,
                    &labels,
                    &BUCKETS_US,
                    c.buckets.iter().map(read),
                    read(&c.requests),
                    read(&c.micros),
                );
            }
        }
    }
}

/// Prometheus' text format, version 0.0.4.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// The head of a family.
    pub(crate) fn family(&mut self, name: &str) {
        if let Some(family) = FAMILIES.iter().find(|f| f.name == name) {
            let _ = writeln!(
                self.0,
                "# HELP {name} {}\n# TYPE {name} {}",
                family.help, family.kind
            );
        }
    }

    /// One sample.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        self.labels(labels, None);
        let _ = writeln!(self.0, " {value}");
    }

    fn labels(&mut self, labels: &[(&str, &str)], le: Option<&str>) {
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{separator}{name}=\"{value}\"");
            separator = ',';
        }
        if separator == ',' {
            self.0.push('}');
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds_us: &[u64],
        counts: impl Iterator<Item = u64>,
        total: u64,
        sum_us: u64,
    ) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
        let seconds = |us: u64| us as f64 / 1e6;
        let mut below = 0;
        for (bound, count) in bounds_us.iter().zip(counts) {
            below += count;
            let _ = write!(self.0, "{name}_bucket");
            self.labels(labels, Some(&seconds(*bound).to_string()));
            let _ = writeln!(self.0, " {below}");
        }
        // Counters are read one after the other: a request may have come between.
        let total = total.max(below);
        let _ = write!(self.0, "{name}_bucket");
        self.labels(labels, Some("+Inf"));
        let _ = writeln!(self.0, " {total}");
        let _ = write!(self.0, "{name}_sum");
        self.labels(labels, None);
        let _ = writeln!(self.0, " {}", seconds(sum_us));
        let _ = write!(self.0, "{name}_count");
        self.labels(labels, None);
        let _ = writeln!(self.0, " {total}");
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/metrics.md as it must be.
    fn document() -> String {
        let mut text = String::from(
            "# Metrics\n\nPrometheus' text format, at `/metrics` of the API's socket and of `metrics.listen`. \
             Names, labels and meanings stay within a major version. Counters begin at the daemon's start.\n\n\
             | name | type | labels | unit | meaning |\n|---|---|---|---|---|\n",
        );
        for f in FAMILIES {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} |",
                f.name, f.kind, f.labels, f.unit, f.help
            );
        }
        text
    }

    #[test]
    fn the_document_tells_every_metric() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("RESTBLK_WRITE_DOCS").is_some() {
            std::fs::write(file, document()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(file).unwrap(),
            document(),
            "run this test with RESTBLK_WRITE_DOCS=1"
        );
    }

    #[test]
    fn samples_are_what_prometheus_reads() {
        let registry = Registry::default();
        let volume = registry.volume(&"main/a".parse().unwrap());
        volume.count(Operation::Read, 4096, Duration::from_micros(150), true);
        volume.count(Operation::Read, 4096, Duration::from_secs(999), false);
        let mut text = Text::default();
        registry.render(&mut text);
        let text = text.finish();
        for line in [
            r#"restblk_volume_requests_total{pool="main",volume="a",operation="read"} 2"#,
            r#"restblk_volume_errors_total{pool="main",volume="a",operation="read"} 1"#,
            r#"restblk_volume_bytes_total{pool="main",volume="a",operation="read"} 4096"#,
            r#"restblk_volume_request_seconds_bucket{pool="main",volume="a",operation="read",le="0.0001"} 0"#,
            r#"restblk_volume_request_seconds_bucket{pool="main",volume="a",operation="read",le="0.0002"} 1"#,
            r#"restblk_volume_request_seconds_bucket{pool="main",volume="a",operation="read",le="+Inf"} 2"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn labels_are_quoted() {
        let mut text = Text::default();
        text.sample("x", &[("a", "q\"\\\n")], 1.0);
        assert_eq!(text.finish(), "x{a=\"q\\\"\\\\\\n\"} 1\n");
    }
}
