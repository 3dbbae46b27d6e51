//! What was asked of a bucket.

use hyper::Method;
use serde::Serialize;

/// Of one kind of request.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Count {
    /// Requests.
    requests: u64,
    /// Bytes of their bodies.
    received: u64,
    /// Bytes of the answers' bodies.
    sent: u64,
}

/// Since the bucket was first named.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    get: Count,
    head: Count,
    list: Count,
    put: Count,
    /// Beginning and completing uploads.
    post: Count,
    delete: Count,
}

impl Counts {
    pub(crate) fn add(&mut self, method: &Method, of_object: bool, received: u64, sent: u64) {
        let count = match *method {
            Method::GET if of_object => &mut self.get,
            Method::GET => &mut self.list,
            Method::HEAD => &mut self.head,
            Method::PUT => &mut self.put,
            Method::DELETE => &mut self.delete,
            _ => &mut self.post,
        };
        count.requests += 1;
        count.received += received;
        count.sent += sent;
    }
}
