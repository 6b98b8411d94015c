//! Files beside the records: a segment's head, and its keyframes.
//!
//! Bytes that are given at random have no checksums that fit, so every second file gets them.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_proto::v1::Dimensions;

use super::INSTANCE;
use crate::worker::journal::Place;
use crate::worker::screen::keyframes::{self, Keyframe, SCREEN_BYTES_MAX, Writer};
use crate::worker::segment::{self, HEAD_BYTES, OFFSET_MAX, SEGMENT_BYTES};

/// Bytes of a keyframe's head.
const KEYFRAME_HEAD_BYTES: usize = 64;

/// Reads these bytes as the head of segment 1 and as its keyframes, then writes a keyframe behind them.
///
/// # Panics
/// If a promise of either does not hold, or the files cannot be made.
pub fn any_bytes(data: &[u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("baton-sidecar-{}-{number}", std::process::id()));
    assert!(fs::create_dir(&dir).is_ok(), "no directory {}", dir.display());
    let Some((how, bytes)) = data.split_first() else { return drop(fs::remove_dir(&dir)) };
    head(&dir, bytes, *how);
    frames(&dir, bytes, *how);
    assert!(fs::remove_dir_all(&dir).is_ok());
}

fn head(dir: &Path, bytes: &[u8], how: u8) {
    let mut block = bytes.to_vec();
    block.resize(HEAD_BYTES as usize, 0);
    if how & 1 != 0 {
        block[..8].copy_from_slice(b"BATONSG1");
        block[8..24].copy_from_slice(INSTANCE.uuid().as_bytes());
        block[24..28].copy_from_slice(&1u32.to_le_bytes());
        let len = u32::from_le_bytes([block[28], block[29], block[30], block[31]]) as usize;
        if let Some(state) = block.get(64..64usize.saturating_add(len)) {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&block[..48]);
            hasher.update(state);
            let crc = hasher.finalize();
            block[48..52].copy_from_slice(&crc.to_le_bytes());
        }
    }
    if how & 2 != 0 {
        block.truncate(bytes.len());
    }
    let path = segment::path(dir, 1);
    assert!(fs::write(&path, &block).is_ok());
    let Ok(file) = File::open(&path) else { panic!("{} is gone", path.display()) };
    if let Ok(head) = segment::read_head(&file, INSTANCE, 1) {
        assert!(head.base <= OFFSET_MAX && head.state.size.is_valid() && head.number == 1);
        // Its own words for it are read as the same.
        if let Ok(again) = segment::head_block(INSTANCE, &head) {
            assert!(fs::write(&path, &again).is_ok());
            let read = File::open(&path).and_then(|file| segment::read_head(&file, INSTANCE, 1));
            assert!(read.as_ref().is_ok_and(|read| *read == head), "{read:?} of {head:?}");
        }
    }
}

fn frames(dir: &Path, bytes: &[u8], how: u8) {
    let mut file = bytes.to_vec();
    if how & 4 != 0 {
        seal(&mut file);
    }
    let path = keyframes::path(dir, 1);
    assert!(fs::write(&path, &file).is_ok());
    let tag = INSTANCE.tag();
    let entries = keyframes::entries(dir, tag, 1);
    let mut before = 0;
    for entry in &entries {
        let Keyframe { offset, place, size, .. } = entry.keyframe;
        assert!(offset >= before, "keyframes go back");
        assert!(size.is_valid() && place.number == 1 && (HEAD_BYTES..=SEGMENT_BYTES).contains(&place.at));
        before = offset;
        if let Some(screen) = keyframes::load(dir, entry) {
            assert!(screen.len() <= SCREEN_BYTES_MAX.min(file.len()));
        }
    }
    assert_eq!(keyframes::newest(dir, tag), entries.last().map(|entry| entry.keyframe.offset));
    assert_eq!(fs::read(&path).ok().as_deref(), Some(&file[..]), "reading changed the file");
    let keyframe = Keyframe {
        offset: u64::MAX,
        place: Place::first_of(1),
        resizes_seen: 0,
        size: Dimensions { cols: 80, rows: 24 },
        wall_us: 1,
        approximate: false,
    };
    if matches!(Writer::new(dir, tag).put(&keyframe, b"goes on", how & 8 != 0), Ok(true)) {
        let entries = keyframes::entries(dir, tag, 1);
        let newest = entries.last().map(|entry| entry.keyframe);
        assert_eq!(newest, Some(keyframe), "what was written is found again");
        let screen = entries.last().and_then(|entry| keyframes::load(dir, entry));
        assert_eq!(screen.as_deref(), Some(&b"goes on"[..]));
    }
}

/// Gives each entry the marks by which it is known, and checksums that fit, as far as the lengths lead.
fn seal(file: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = file.get_mut(at..at + KEYFRAME_HEAD_BYTES) {
        head[..8].copy_from_slice(b"BATONKF1");
        // The engine's version is left to chance in one of four.
        if head[8] & 3 != 0 {
            head[8..12].copy_from_slice(&baton_screen::ENGINE_VERSION.to_le_bytes());
        }
        // Long screens make the same cases, slower.
        head[14] = 0;
        head[15] = 0;
        head[16..24].copy_from_slice(&INSTANCE.tag().to_le_bytes());
        head[24..28].copy_from_slice(&1u32.to_le_bytes());
        let crc = crc32fast::hash(&head[..56]);
        head[56..60].copy_from_slice(&crc.to_le_bytes());
        let len = usize::from(head[12]) | usize::from(head[13]) << 8;
        let end = at + KEYFRAME_HEAD_BYTES + len;
        if let Some(screen) = file.get(at + KEYFRAME_HEAD_BYTES..end) {
            let crc = crc32fast::hash(screen);
            file[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
        }
        at = end;
    }
}
