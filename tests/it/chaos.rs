//! Three minutes of the chaos runner; `cargo xtask chaos` runs it for as long as one likes.

use std::time::Duration;

use baton_tests::chaos::{self, Options};
use baton_tests::disk::{Private, again_privately};

/// Another one by `BATON_SEED`: which faults fall is the seed's choice, into which byte they fall is not.
const SEED: u64 = 4;
const SPAN: Duration = Duration::from_secs(180);

#[test]
fn minutes_of_everything_at_once_break_no_rule() {
    let seed = std::env::var("BATON_SEED").map_or(SEED, |seed| seed.parse().expect("BATON_SEED is a number"));
    let mut options = Options::new(seed, SPAN);
    let test = "chaos::minutes_of_everything_at_once_break_no_rule";
    match again_privately(&["--exact", test, "--nocapture"].map(str::to_owned)) {
        Private::Here => {}
        Private::Was(status) => return assert!(status.success(), "in its namespace: {status}"),
        Private::Impossible(why) => {
            println!("no disk is filled: none can be mounted here: {why}");
            options.disk = false;
        }
    }
    let report = chaos::run(&options);
    println!("{}", report.text());
    assert!(report.totals.violations.is_empty(), "rules were broken; `cargo xtask chaos --seed {seed}` runs it again");
    // A run in which nothing happened would break none either.
    assert!(report.totals.faults.values().sum::<u64>() >= 20, "so few faults are no storm");
    assert!(report.totals.count("bytes checked") > 10_000_000 && report.totals.count("inputs acknowledged") > 100);
    assert!(report.totals.count("reconnects") > 20 && report.totals.count("exit codes true") > 8);
}
