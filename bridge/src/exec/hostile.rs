//! What a shell writes around a command's output, and what anybody writes who makes it look so.

use super::said;
use super::shell::Shell;

/// Cuts a command's output out of these bytes in every way there is.
///
/// # Panics
/// If a place lies outside of the bytes, or what is taken out is not what was counted.
pub fn any_bytes(data: &[u8]) {
    let Some((cols, bytes)) = data.split_first() else { return };
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Plain] {
        let end = said::end_of_command(bytes, shell, usize::from(*cols));
        assert!(end <= bytes.len(), "{shell:?}: the end {end} is behind {} bytes", bytes.len());
        let end = said::before_farewell(bytes, shell);
        assert!(end <= bytes.len(), "{shell:?}: the farewell begins at {end}, behind {} bytes", bytes.len());
        let start = said::start_of_command(bytes, shell);
        assert!(start <= bytes.len(), "{shell:?}: the start {start} is behind {} bytes", bytes.len());
    }
    for place in [said::behind_begin_mark(bytes), said::behind_echo(bytes)].into_iter().flatten() {
        assert!(place <= bytes.len(), "a place {place} is behind {} bytes", bytes.len());
    }
    let mut kept = bytes.to_vec();
    let taken = said::take_marks(&mut kept);
    assert_eq!(kept.len() + taken, bytes.len());
    let _ = said::is_marked_prompt(bytes);
}
