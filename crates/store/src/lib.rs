//! The Store trait, its clients, and the suite that every store passes.
