//! The embedded CDMI store.
