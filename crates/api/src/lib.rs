//! The control API's types and client.
