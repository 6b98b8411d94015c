//! The bridge with an attacker in it, for a test: see `baton_bridge::taken_over`.
#![forbid(unsafe_code)]

#[path = "../main.rs"]
mod bridge;

fn main() -> std::process::ExitCode {
    bridge::main()
}
