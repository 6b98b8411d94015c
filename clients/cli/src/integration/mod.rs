//! The scripts that let a shell tell where its prompts and commands are.

/// The script for bash, 4.4 or newer.
pub const BASH: &str = include_str!("baton.bash");

/// The script for zsh.
pub const ZSH: &str = include_str!("baton.zsh");

/// The script for fish. Version 4 needs none, and gets one that does nothing.
pub const FISH: &str = include_str!("baton.fish");
