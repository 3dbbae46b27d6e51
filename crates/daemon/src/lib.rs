//! The host's daemon: pools, attachments, supervision, HTTP API.
