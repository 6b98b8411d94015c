//! What test runners ask of a program with a harness of its own: nextest has the tests listed first, and runs each by its name.

/// The one test that such a program is to who has tests listed.
const ALL: &str = "all";

/// Which tests are wanted, by a part of their names; `None` when a list was asked for, which is printed.
pub fn wanted(args: &[String]) -> Option<String> {
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    if has("--list") {
        if !has("--ignored") {
            println!("{ALL}: test");
        }
        return None;
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-')).cloned().unwrap_or_default();
    Some(if filter == ALL { String::new() } else { filter })
}
