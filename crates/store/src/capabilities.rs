//! What a store can do. A client fills it in from what the server declares; `prove` strikes out what the server
//! was not *seen* to do, and only the proved set is believed by an engine.

use serde::{Deserialize, Serialize};

/// Abilities of a store through one client and dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `put` with [`crate::Precondition::Absent`]: of racing creates exactly one wins.
    pub exclusive_create: bool,
    /// `put` and `delete` with [`crate::Precondition::Matches`]: compare and set by ETag.
    pub compare_and_set: bool,
    /// `put` replaces the whole object at once: a reader sees the old or the new, also after a crash of the server.
    pub atomic_put: bool,
    /// `write_at` changes bytes in place.
    pub write_at: bool,
    /// Offsets and lengths of `write_at` and `punch`, and sizes, are multiples of this many bytes; a power of two, 1 for most.
    #[serde(default = "one")]
    pub write_align: u64,
    /// How `set_size` works, if at all.
    pub resize: Resize,
    /// `punch` frees the space of a range.
    pub punch: bool,
    /// When a write is safe from the server's power loss.
    pub durability: Durability,
    /// `write_at` with `durable`: safe when answered, cheaper than a write and a flush.
    pub durable_write: bool,
    /// `lock`: while somebody holds an object's lock, the store refuses everybody else's changes of it.
    #[serde(default)]
    pub lock: bool,
    /// `list` works. Correctness never depends on it.
    pub list: bool,
    /// Largest body of one `write_at` or ranged `get`, in bytes.
    pub range_len_max: u64,
    /// Largest body of one `put`, in bytes.
    pub put_len_max: u64,
}

fn one() -> u64 {
    1
}

/// How an object's size can be set without writing its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// A request of its own grows and shrinks.
    Native,
    /// Growing alone, by writing one zero byte at the new end: gaps read as zeros.
    ByWriting,
    /// Not at all.
    None,
}

/// When an acknowledged write survives the server's power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When `flush` has answered.
    OnFlush,
    /// When the write itself is answered: the protocol or the service promises it.
    OnWrite,
    /// The store promises nothing and has no flush; `flush` is answered once all writes are.
    Unstated,
}
