//! A test: a Baton of its own, a deadline, a body.

use std::time::Duration;

use crate::baton::{Baton, Setup};

/// Starts a Baton, runs the body against it, and ends the Baton, whatever happens. What the body left running is a failure.
///
/// # Panics
/// When the body does, when it is not done within `limit`, or when something is left running.
pub fn scenario<B: AsyncFnOnce(&Baton)>(limit: Duration, setup: Setup, body: B) {
    let name = name_of(&body);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let baton = Baton::start(&name, setup);
    let done = runtime.block_on(async { tokio::time::timeout(limit, body(&baton)).await });
    runtime.shutdown_background();
    assert!(done.is_ok(), "{name}: not done after {limit:?}");
}

/// `module::test` of the test that this closure was written in.
fn name_of<B>(_: &B) -> String {
    let path = std::any::type_name::<B>().trim_end_matches("::{{closure}}");
    path.strip_prefix("it::").unwrap_or(path).to_owned()
}
