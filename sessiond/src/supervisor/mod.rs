//! sessiond.

/// Runs sessiond.
///
/// # Errors
/// What failed.
pub fn run() -> anyhow::Result<()> {
    Ok(())
}
