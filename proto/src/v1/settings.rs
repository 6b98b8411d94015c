//! Changing the configuration file, which the bridge may read and sessiond may write.

use bincode::{Decode, Encode};

/// Most changes of one request.
pub const SETTING_CHANGES_MAX: usize = 32;
/// Most bytes of a value.
pub const SETTING_BYTES_MAX: usize = 4096;

/// Change the configuration file. Answer: `Done` once it is on disk, all of it or nothing; `Failed` with `revision_conflict` when the
/// file is no longer the one of `expected_revision`, `invalid` when the file would not be valid then or is not now,
/// `path_refused` when it can't be replaced where it is, `disk_full`.
///
/// Only what [`SettingsSection`] names can be changed so: how Baton listens and what confines sessions is the file's alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EditSettings {
    /// [`crate::config::revision`] of the file the changes are meant for.
    pub expected_revision: String,
    /// What is to change; at most [`SETTING_CHANGES_MAX`].
    pub changes: Vec<SettingChange>,
}

/// One key's change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SettingChange {
    /// Where.
    pub section: SettingsSection,
    /// Its name.
    pub key: String,
    /// Its new value; `None` takes it out of the file.
    pub value: Option<SettingValue>,
}

/// A section that may be changed by others than its person's editor.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SettingsSection {
    /// `[defaults]`.
    Defaults,
    /// `[agents.<name>]`.
    Agent(String),
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SettingValue {
    /// Text; at most [`SETTING_BYTES_MAX`].
    Text(String),
    /// A whole number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
}
