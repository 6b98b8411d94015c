//! Changing the configuration file for the bridge, which may read it and not write it: a bridge that is taken over must not
//! choose what confines sessions. What may be changed is a closed list of sections; comments and order stay.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use baton_proto::ErrorCode;
use baton_proto::config::{self, Config};
use baton_proto::home::Home;
use baton_proto::v1::{
    EditSettings, Failed, SETTING_BYTES_MAX, SETTING_CHANGES_MAX, SettingChange, SettingValue, SettingsSection,
};
use toml_edit::{DocumentMut, Item, Table, value};

/// Most bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Changes the file of `home`: all of it or nothing. `env` lies over it, as everywhere.
///
/// # Errors
/// What [`EditSettings`] says.
pub fn edit(home: &Home, edit: &EditSettings, env: &[(String, String)]) -> Result<(), Failed> {
    check(edit)?;
    let path = home.config_file();
    let text = read(&path)?;
    if config::revision(&text) != edit.expected_revision {
        return Err(conflict(&path));
    }
    let changed = changed(&text, &edit.changes, &path)?;
    Config::load(&changed, env.iter().cloned()).map_err(|err| invalid(format!("it would not be valid then: {err}")))?;
    if changed == text {
        return Ok(());
    }
    // An editor may have written meanwhile. What comes between this look and the rename below is lost, as between two editors.
    if read(&path)? != text {
        return Err(conflict(&path));
    }
    replace(&home.config, &path, changed.as_bytes()).map_err(|err| unwritten(&path, &err))
}

fn check(edit: &EditSettings) -> Result<(), Failed> {
    if edit.changes.is_empty() || edit.changes.len() > SETTING_CHANGES_MAX {
        return Err(invalid(format!("from 1 to {SETTING_CHANGES_MAX} settings change at once")));
    }
    let too_long = |change: &SettingChange| matches!(&change.value, Some(SettingValue::Text(text)) if text.len() > SETTING_BYTES_MAX);
    match edit.changes.iter().find(|change| too_long(change)) {
        Some(change) => Err(invalid(format!("`{}` has at most {SETTING_BYTES_MAX} bytes", change.key.escape_debug()))),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, Failed> {
    // What a link leads to can't be replaced by renaming, and lies where this process may not write.
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) {
        let message =
            format!("`{}` is a link: Baton does not change what it leads to; change it with an editor", path.display());
        return Err(failed(ErrorCode::PathRefused, message));
    }
    let unread = |err: io::Error| failed(ErrorCode::PathRefused, format!("`{}` can't be read: {err}", path.display()));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(err) => return Err(unread(err)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(ErrorCode::TooLarge, format!("`{}` has more than a mebibyte", path.display())));
    }
    Ok(text)
}

/// The text with the changes, everything else as it is.
fn changed(text: &str, changes: &[SettingChange], path: &Path) -> Result<String, Failed> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|err| invalid(format!("`{}` is not valid; correct it with an editor first: {err}", path.display())))?;
    for change in changes {
        let Some(keys) = section(&mut document, &change.section, change.value.is_some())? else { continue };
        match &change.value {
            Some(new) => put(keys, &change.key, new),
            None => drop(keys.remove(&change.key)),
        }
    }
    Ok(document.to_string())
}

/// The section's keys; made if they are to be. `None` where there is no such section and none is wanted.
fn section<'a>(
    document: &'a mut DocumentMut,
    section: &SettingsSection,
    make: bool,
) -> Result<Option<&'a mut dyn toml_edit::TableLike>, Failed> {
    let (outer, inner) = match section {
        SettingsSection::Defaults => ("defaults", None),
        SettingsSection::Agent(name) => ("agents", Some(name.as_str())),
    };
    let no_section = || invalid(format!("`{outer}` is not a section of the file; correct it with an editor first"));
    let there = document.get(outer).is_some();
    if !make && !there {
        return Ok(None);
    }
    // What stands at the end of the file stays before what is added behind it.
    let missing = match inner {
        None => !there,
        Some(name) => document.get(outer).and_then(Item::as_table_like).is_none_or(|agents| agents.get(name).is_none()),
    };
    let mut added = Table::new();
    if missing && make {
        let end = document.trailing().as_str().unwrap_or_default().to_owned();
        let alone = document.is_empty() && end.is_empty();
        added.decor_mut().set_prefix(format!("{end}{}", if alone { "" } else { "\n" }));
        document.set_trailing("");
    }
    let Some(name) = inner else {
        let table = document.entry(outer).or_insert(Item::Table(added));
        return table.as_table_like_mut().map(Some).ok_or_else(no_section);
    };
    let table = document.entry(outer).or_insert_with(|| {
        let mut table = Table::new();
        // `[agents]` alone says nothing: only `[agents.name]` is written.
        table.set_implicit(true);
        Item::Table(table)
    });
    let agents = table.as_table_like_mut().ok_or_else(no_section)?;
    if !make && agents.get(name).is_none() {
        return Ok(None);
    }
    let agent = agents.entry(name).or_insert(Item::Table(added));
    agent.as_table_like_mut().map(Some).ok_or_else(no_section)
}

/// What stands around a value (a comment behind it) stays.
fn put(keys: &mut dyn toml_edit::TableLike, key: &str, new: &SettingValue) {
    let mut item = match new {
        SettingValue::Text(text) => value(text.as_str()),
        SettingValue::Flag(flag) => value(*flag),
        // The sum of TOML's integers; `check` of the bridge is far below.
        SettingValue::Number(number) => value(i64::try_from(*number).unwrap_or(i64::MAX)),
    };
    if let (Some(new), Some(old)) = (item.as_value_mut(), keys.get(key).and_then(Item::as_value)) {
        *new.decor_mut() = old.decor().clone();
    }
    match keys.get_mut(key) {
        Some(place) => *place = item,
        None => drop(keys.insert(key, item)),
    }
}

/// Whole or not at all, with the permissions that it had.
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let aside = dir.join("config.toml.new");
    match fs::remove_file(&aside) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mode = fs::metadata(path).map(|meta| meta.permissions());
    // Whoever put something in its place meanwhile is not followed.
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside)?;
    if let Ok(mode) = mode {
        file.set_permissions(mode)?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, path)?;
    fs::File::open(dir)?.sync_all()
}

fn failed(code: ErrorCode, message: String) -> Failed {
    Failed { code, message, owner: None, oldest: None }
}

fn invalid(message: String) -> Failed {
    failed(ErrorCode::Invalid, message)
}

fn conflict(path: &Path) -> Failed {
    let message = format!("`{}` has changed meanwhile: look at it again and repeat the change", path.display());
    failed(ErrorCode::RevisionConflict, message)
}

fn unwritten(path: &Path, err: &io::Error) -> Failed {
    let full = matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let code = if full { ErrorCode::DiskFull } else { ErrorCode::PathRefused };
    failed(code, format!("`{}` could not be written, and is as it was: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn change(section: SettingsSection, key: &str, value: Option<SettingValue>) -> SettingChange {
        SettingChange { section, key: key.to_owned(), value }
    }

    fn idle(seconds: u64) -> SettingChange {
        change(SettingsSection::Defaults, "terminal_idle_timeout", Some(SettingValue::Number(seconds)))
    }

    fn path_of(agent: &str, path: Option<&str>) -> SettingChange {
        change(SettingsSection::Agent(agent.to_owned()), "path", path.map(|path| SettingValue::Text(path.to_owned())))
    }

    /// A home with this file; what became of it.
    fn after(text: &str, changes: Vec<SettingChange>) -> Result<String, Failed> {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        fs::create_dir_all(&home.config).unwrap();
        if !text.is_empty() {
            fs::write(home.config_file(), text).unwrap();
        }
        let request = EditSettings { expected_revision: config::revision(text), changes };
        let done = edit(&home, &request, &[]);
        let left: Vec<_> = fs::read_dir(&home.config).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "config.toml"), "{left:?}");
        let now = fs::read_to_string(home.config_file()).unwrap_or_default();
        match done {
            Ok(()) => Ok(now),
            Err(failed) => {
                assert_eq!(now, text, "what fails changes nothing");
                Err(failed)
            }
        }
    }

    #[test]
    fn comments_order_and_spaces_stay() {
        let text = "# mine\n[session]\nlease_ttl_s = 3 # short\n\n[defaults] # sessions\n# an hour\nterminal_idle_timeout   = 3600 # s\n\n[cli]\ndetach_key = \"Ctrl-]\"\n";
        let now = after(text, vec![idle(7200)]).unwrap();
        assert_eq!(now, text.replace("3600 # s", "7200 # s"));
        let back = after(&now, vec![idle(3600)]).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn what_is_added_comes_last() {
        let now = after("# all of it a comment\n", vec![idle(5)]).unwrap();
        assert_eq!(now, "# all of it a comment\n\n[defaults]\nterminal_idle_timeout = 5\n");
        let now = after("[cli]\n# the end\n", vec![path_of("a", Some("/a")), idle(5)]).unwrap();
        let expected = "[cli]\n# the end\n\n[agents.a]\npath = \"/a\"\n\n[defaults]\nterminal_idle_timeout = 5\n";
        assert_eq!(now, expected);
        assert_eq!(after("", vec![idle(5)]).unwrap(), "[defaults]\nterminal_idle_timeout = 5\n");
    }

    #[test]
    fn sections_are_made_and_keys_taken_out() {
        let now = after("", vec![idle(5), path_of("claude", Some("/opt/\"x\""))]).unwrap();
        let config = Config::load(&now, std::iter::empty()).unwrap();
        assert_eq!(config.defaults.terminal_idle_timeout, 5);
        assert!(now.contains("[agents.claude]") && !now.contains("[agents]"), "{now}");
        let path = config.agents.values().next().unwrap().path.clone().unwrap();
        assert_eq!(path.as_str(), "/opt/\"x\"");
        let gone = after(&now, vec![path_of("claude", None), path_of("never", None)]).unwrap();
        assert!(!gone.contains("/opt") && !gone.contains("never"), "{gone}");
        // Written in one line, as people do.
        let inline = after(
            "defaults = { terminal_idle_timeout = 1 }\nagents.a.path = \"/a\"\n",
            vec![idle(2), path_of("a", Some("/b"))],
        );
        assert_eq!(inline.unwrap(), "defaults = { terminal_idle_timeout = 2 }\nagents.a.path = \"/b\"\n");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let code = |text: &str, changes| after(text, changes).unwrap_err().code;
        assert_eq!(code("nonsense", vec![idle(1)]), ErrorCode::Invalid);
        assert_eq!(code("defaults = 5\n", vec![idle(1)]), ErrorCode::Invalid);
        assert_eq!(code("[server]\nbogus = 1\n", vec![idle(1)]), ErrorCode::Invalid);
        assert_eq!(code("", vec![]), ErrorCode::Invalid);
        assert_eq!(code("", vec![idle(1); SETTING_CHANGES_MAX + 1]), ErrorCode::Invalid);
        assert_eq!(code("", vec![path_of("Bad Name", Some("/x"))]), ErrorCode::Invalid);
        assert_eq!(code("", vec![path_of("a", Some("relative"))]), ErrorCode::Invalid);
        assert_eq!(code("", vec![path_of("a", Some(&"x".repeat(SETTING_BYTES_MAX + 1)))]), ErrorCode::Invalid);
        let unknown = change(SettingsSection::Defaults, "allow_host", Some(SettingValue::Flag(true)));
        assert_eq!(code("", vec![unknown]), ErrorCode::Invalid);
        // A key that would be TOML of its own stays a key.
        let clever = change(SettingsSection::Defaults, "a = 1\n[sandbox]\nallow_host", Some(SettingValue::Flag(true)));
        assert_eq!(code("", vec![clever]), ErrorCode::Invalid);
        let clever = path_of("a", Some("/x\"\n[sandbox]\nallow_host = true\n#"));
        assert_eq!(code("", vec![clever]), ErrorCode::Invalid);
    }

    #[test]
    fn only_the_state_that_was_seen_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        fs::create_dir_all(&home.config).unwrap();
        let request = |text: &str| EditSettings { expected_revision: config::revision(text), changes: vec![idle(9)] };
        fs::write(home.config_file(), "# one\n").unwrap();
        assert_eq!(edit(&home, &request(""), &[]).unwrap_err().code, ErrorCode::RevisionConflict);
        edit(&home, &request("# one\n"), &[]).unwrap();
        assert_eq!(edit(&home, &request("# one\n"), &[]).unwrap_err().code, ErrorCode::RevisionConflict);
    }

    #[test]
    fn permissions_stay_and_links_are_not_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        fs::create_dir_all(&home.config).unwrap();
        let request = EditSettings { expected_revision: config::revision(""), changes: vec![idle(9)] };
        edit(&home, &request, &[]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.config_file()), 0o600);
        fs::write(home.config_file(), "").unwrap();
        fs::set_permissions(home.config_file(), fs::Permissions::from_mode(0o640)).unwrap();
        edit(&home, &request, &[]).unwrap();
        assert_eq!(mode(&home.config_file()), 0o640);
        let elsewhere = dir.path().join("elsewhere.toml");
        fs::rename(home.config_file(), &elsewhere).unwrap();
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, home.config_file()).unwrap();
        assert_eq!(edit(&home, &request, &[]).unwrap_err().code, ErrorCode::PathRefused);
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
    }
}
