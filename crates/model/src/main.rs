//! Checks a model: `restblk-model fencing [--writers N] [--segments N] [--heads N]`. Prints how many states were walked; then
//! breaks each rule in turn, and prints what the checker found.

use clap::{Parser, Subcommand};
use restblk_model::fencing::{Defect, Fencing};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::process::ExitCode;
use std::time::Instant;

#[derive(Parser)]
#[command(about = "Checks the models of restblk's protocols exhaustively")]
struct Arguments {
    #[command(subcommand)]
    model: Which,
}

#[derive(Subcommand)]
enum Which {
    /// How one writer of a log volume follows another
    Fencing {
        /// Writers
        #[arg(long, default_value_t = 3)]
        writers: u8,
        /// Segments that each writer sends at the most
        #[arg(long, default_value_t = 2)]
        segments: u8,
        /// Heads that each writer sends at the most
        #[arg(long, default_value_t = 2)]
        heads: u8,
    },
}

fn main() -> ExitCode {
    let Which::Fencing {
        writers,
        segments,
        heads,
    } = Arguments::parse().model;
    let model = |defect: Option<Defect>| match defect {
        None => Fencing {
            writers,
            segments,
            heads,
            defect,
        },
        // The smallest in which it shows.
        Some(broken) => Fencing {
            writers: 2,
            segments: broken.segments(),
            heads: 1,
            defect,
        },
    };
    let begun = Instant::now();
    let checked = model(None).checker().threads(2).spawn_bfs().join();
    let wrong = problems(&checked, &model(None));
    println!(
        "{} writers, {segments} segments, {heads} heads: {} states ({} steps) in {:.1} s{}",
        writers,
        checked.unique_state_count(),
        checked.state_count(),
        begun.elapsed().as_secs_f64(),
        if wrong.is_empty() {
            ", every property holds".to_owned()
        } else {
            format!("; NOT holding: {}", wrong.join(", "))
        }
    );
    let mut ok = wrong.is_empty();
    for defect in Defect::ALL {
        let checker = model(Some(defect)).checker().threads(2);
        let checked = checker
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = problems(&checked, &model(Some(defect)));
        match found.first() {
            Some(property) => {
                let steps = checked
                    .discovery(property)
                    .map_or(0, |path| path.into_actions().len());
                println!("{defect}: \"{property}\" is refuted in {steps} steps");
            }
            None => {
                println!("{defect}: NOT found");
                ok = false;
            }
        }
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The properties that do not hold.
fn problems(checked: &impl Checker<Fencing>, model: &Fencing) -> Vec<&'static str> {
    let properties = model.properties();
    properties
        .iter()
        .filter(|property| {
            let found = checked.discovery(property.name).is_some();
            match property.expectation {
                Expectation::Sometimes => !found,
                _ => found,
            }
        })
        .map(|property| property.name)
        .collect()
}
