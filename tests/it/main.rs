//! Baton from outside: a module per feature, the real binaries in each.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "figures belong into the test's output")]

mod access;
mod adversarial;
mod adversarial_swaps;
mod approval_races;
mod approvals;
mod asked_again;
mod attach_size;
mod audit;
mod browser;
mod canary;
mod chaos;
mod cli;
mod confined;
mod damaged;
mod denied;
mod disk;
mod egress;
mod events;
mod exec;
mod explain;
mod flood;
mod given_back;
mod given_up;
mod guarded;
mod handback;
mod handoff;
mod history;
mod hostile;
mod in_flight;
mod input;
mod journal;
mod lease;
mod leaving;
mod lifetime;
mod limits;
mod local;
mod marks;
mod needless;
mod openapi;
mod parked;
mod policy;
mod protocol_log;
mod proxied;
mod queries;
mod recording;
mod respawn;
mod resume;
mod rights;
mod roles;
mod routes;
mod runtime_dir;
mod screen_worker;
mod screens;
mod search;
mod security;
mod service;
mod settings;
mod share;
mod shells;
mod skew;
mod slow_reader;
mod snapshot_cli;
mod ssh_agent;
mod storm;
mod survive;
mod time_travel;
mod trouble;
mod upgrade;

/// A module that is not listed above would never run.
#[test]
fn every_file_of_this_directory_is_a_module_of_this_binary() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let text = std::fs::read_to_string(directory.join("main.rs")).unwrap();
    for file in std::fs::read_dir(directory).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || text.contains(&format!("\nmod {module};")), "`{name}` is not listed in main.rs");
    }
}
