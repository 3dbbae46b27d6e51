//! Everything a developer runs: `cargo xtask check | test | show | bench | quickstart`.

fn main() {}
