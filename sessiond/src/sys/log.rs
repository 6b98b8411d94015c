//! Logging: lines on stderr, which the launcher points at a file.

use tracing::level_filters::LevelFilter;

/// Starts logging; the level comes from `BATON_LOG` (`error`, `warn`, `info`, `debug`, `trace`, `off`), else `info`.
pub fn start() {
    let level = std::env::var("BATON_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let started = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A full disk under the log must not become a panic in a process that holds somebody's shell.
        .log_internal_errors(false)
        .try_init();
    // Only a second start can fail, and then the first one's subscriber is at work.
    drop(started);
}
