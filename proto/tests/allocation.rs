//! No payload makes a decoder allocate beyond its limit: a length is believed only as far as bytes may follow.
//!
//! Without the limit a hostile length aborts the process before any error can be returned, so this is measured, with an
//! allocator that counts. That is why this test alone has unsafe code.

#![allow(clippy::unwrap_used, reason = "test code")]

mod messages;
mod seeded;
#[path = "../../fuzz/src/messages.rs"]
#[allow(dead_code, reason = "only the reading half is used here")]
mod wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use baton_proto::codec::{CONTROL_BYTES_MAX, SPEC_BYTES_MAX};
use baton_proto::frame::Kind;
use messages::entries;
use proptest::prelude::*;
use proptest::sample::{Index, select};

thread_local! {
    /// Largest single allocation of this thread since it was last set.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; the pointer is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The largest single allocation while a payload is read.
fn largest_allocation(kind: Kind, payload: &[u8]) -> usize {
    LARGEST.set(0);
    let _ = wire::reencode(kind, payload);
    LARGEST.get()
}

/// What reading a payload of this kind may allocate at once: a limit's worth of values; the writing half at most doubles.
fn limit(kind: Kind) -> usize {
    let limit = if kind.payload_bytes_max() as usize > CONTROL_BYTES_MAX { SPEC_BYTES_MAX } else { CONTROL_BYTES_MAX };
    2 * limit + 4096
}

#[test]
fn the_allocator_counts() {
    LARGEST.set(0);
    let kept = std::hint::black_box(vec![0u8; 123_456]);
    assert!(LARGEST.get() >= kept.len());
}

#[test]
fn hostile_lengths_allocate_nothing_to_speak_of() {
    // Every place of every example overwritten by a huge length: wherever a length is, it is hit.
    for entry in entries().into_iter().filter(|entry| entry.is_message) {
        for (_, payload) in &entry.examples {
            for at in 0..payload.len() {
                for length in [u64::MAX, 1 << 62, 1 << 40, 1 << 32, 1 << 24, 1 << 20, 70_000] {
                    let mut bad = payload.clone();
                    for (byte, place) in length.to_le_bytes().into_iter().zip(at..payload.len()) {
                        bad[place] = byte;
                    }
                    let largest = largest_allocation(entry.kind, &bad);
                    assert!(largest <= limit(entry.kind), "{:?}: {largest} bytes for {length} at {at}", entry.kind);
                }
            }
        }
    }
}

#[test]
fn any_bytes_allocate_no_more_than_the_limit() {
    let hostile = select(Kind::ALL).prop_flat_map(|kind| {
        let payloads = entries().into_iter().find(|entry| entry.kind == kind).map(|entry| entry.payloads);
        (Just(kind), payloads.unwrap_or_else(|| Just(Vec::new()).boxed()), any::<Index>(), any::<u64>())
    });
    seeded::check(2000, &hostile, |(kind, mut payload, at, length)| {
        if payload.len() > 8 {
            let at = at.index(payload.len() - 8);
            payload[at..at + 8].copy_from_slice(&length.to_le_bytes());
        }
        let largest = largest_allocation(kind, &payload);
        assert!(largest <= limit(kind), "{kind:?}: {largest} bytes");
    });
}
