//! The read window of a predecessor, whatever is in it.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use baton_proto::Epoch;
use baton_proto::v1::InputUncertain;
use baton_sandbox::fds::shared_memfd;

use crate::worker::window::{DATA_BYTES, InFlight, InputIntent, WINDOW_BYTES, WORDS, Window};

/// Bytes of the words at the window's front.
const WORDS_BYTES: usize = WORDS * 8;

/// Recovers from a window whose words and data are these bytes, then goes on with it as a worker does.
///
/// # Panics
/// If a promise of the window does not hold, or no memory file can be made.
pub fn any_bytes(data: &[u8]) {
    let Ok(memory) = shared_memfd(c"hostile", WINDOW_BYTES) else { panic!("no memory file") };
    let mut whole = vec![0xFF; WINDOW_BYTES];
    let (words, rest) = data.split_at(data.len().min(WORDS_BYTES));
    whole[..words.len()].copy_from_slice(words);
    // Where output lies.
    let place = WINDOW_BYTES - DATA_BYTES;
    whole[place..place + rest.len().min(DATA_BYTES)].copy_from_slice(&rest[..rest.len().min(DATA_BYTES)]);
    if data.first().is_none_or(|first| *first != 0) {
        // Most of what is tried should get past the first check.
        whole[..8].copy_from_slice(b"BatonWn1");
    }
    let written = memory.try_clone().and_then(|memory| std::fs::File::from(memory).write_all(&whole));
    assert!(written.is_ok(), "{written:?}");
    let Ok((mut window, base, bytes, in_flight)) = Window::recover(memory.as_fd()) else { return };
    assert!(bytes.len() <= DATA_BYTES);
    assert_eq!(bytes, whole[place..place + bytes.len()], "what was recovered is not what was there");
    let _ = (window.answered_until(), window.marked_until());
    let end = base.saturating_add(bytes.len() as u64);
    window.flushed(end);
    assert!(window.is_clean(), "what was read before is left in the free area");
    let room = window.begin(None);
    assert_eq!(room.len(), DATA_BYTES);
    room[..3].copy_from_slice(b"abc");
    window.filled(3);
    if let InFlight::Written(intent) | InFlight::Uncertain(intent) = in_flight {
        let InputIntent { client, stream, seq, len, .. } = intent;
        window.settle_uncertain(&client, stream, seq);
        assert!(window.uncertain(&client, stream).is_none_or(|it| it.seq >= seq), "it has gone on");
        let uncertain = InputUncertain { client: client.clone(), stream, seq: seq.max(1) };
        window.set_uncertain(&uncertain);
        assert_eq!(window.uncertain(&client, stream), Some(uncertain));
        window.input_begins(&InputIntent { client, stream, seq, len, epoch: Epoch(1) });
    }
    drop(window);
    let Ok((_, again, bytes, _)) = Window::recover(memory.as_fd()) else { panic!("its own window is refused") };
    assert_eq!((again, bytes.as_slice()), (end, &b"abc"[..]));
}
