//! The smallest model in which every rule matters; `cargo xtask show log/fencing-model` walks larger ones.

use super::{Defect, Fencing};
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn the_protocol_holds() {
    let model = Fencing {
        writers: 2,
        segments: 1,
        heads: 1,
        defect: None,
    };
    let checked = model.checker().spawn_bfs().join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 1_000);
}

#[test]
fn every_rule_is_needed() {
    for defect in Defect::ALL {
        let model = Fencing {
            writers: 2,
            segments: defect.segments(),
            heads: 1,
            defect: Some(defect),
        };
        let checked = model
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let refuted = ["durable", "prefix", "one owner"]
            .iter()
            .any(|name| checked.discovery(name).is_some());
        assert!(refuted, "{defect} goes unnoticed");
    }
}
