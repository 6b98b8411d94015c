//! Whose Baton this is, as the system's list of users says.

use std::sync::OnceLock;

use nix::unistd::{User, getuid};

/// The user that the bridge runs as. Looked up once, while the list can be read: the bridge confines itself afterwards,
/// and so a shell that was changed counts from its next start on.
pub fn user() -> Option<&'static User> {
    static USER: OnceLock<Option<User>> = OnceLock::new();
    USER.get_or_init(|| User::from_uid(getuid()).ok().flatten()).as_ref()
}
