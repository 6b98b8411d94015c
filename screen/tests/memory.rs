//! What a program writes costs memory for what it shows, and no more.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_proto::v1::Dimensions;
use baton_screen::Screen;

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn grown(by: usize) {
    let now = NOW.fetch_add(by, Ordering::Relaxed) + by;
    MOST.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting touches no memory of its.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract, and `pointer` came from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZE: Dimensions = Dimensions { cols: 120, rows: 40 };
const MIB: usize = 1024 * 1024;

/// Feeds `first` and then `again` over and over, and says how much more memory was in use meanwhile than before.
fn most(first: &[u8], again: &[u8], bytes: usize) -> usize {
    let mut screen = Screen::new(SIZE);
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut seen = Vec::new();
    screen.feed(first, &mut seen);
    for _ in 0..bytes / again.len() {
        screen.feed(again, &mut seen);
        seen.clear();
    }
    MOST.load(Ordering::Relaxed) - before
}

// One test: the counters are for the whole process.
#[test]
fn is_bounded() {
    let filler = b"A".repeat(64 * 1024);
    for introducer in [&b"\x1b]2;"[..], b"\x1b]8;;", b"\x1b]52;c;", b"\x1bPq", b"\x1b_G", b"\x1b^", b"\x1bX"] {
        let most = most(introducer, &filler, 100 * MIB);
        assert!(most < MIB, "a string without end after {} takes {most} bytes", introducer.escape_ascii());
    }
    for (introducer, filler) in
        [(&b"\x1b["[..], &b"1;"[..]), (b"\x1b[", b"\n"), (b"\x1b", b"\r"), (b"\x1b(", b"("), (b"\x1b[", b"   ")]
    {
        let most = most(introducer, &filler.repeat(16 * 1024), 20 * MIB);
        assert!(most < MIB, "a sequence without end of {} takes {most} bytes", filler.escape_ascii());
    }

    // Each cell a link of its own, each link as long as it may be.
    let mut links = Vec::new();
    for number in 0..20_000 {
        links.extend_from_slice(format!("\x1b]8;id={number};http://{number}/{}\x1b\\x", "l".repeat(3000)).as_bytes());
    }
    let most_links = most(b"", &links, 60 * MIB);
    assert!(most_links < 3 * MIB, "links take {most_links} bytes");

    // Characters piled up in every cell.
    let pile = "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}".repeat(20);
    let most_piled = most(b"", pile.as_bytes(), 20 * MIB);
    assert!(most_piled < 2 * MIB, "combining characters take {most_piled} bytes");

    // Titles and keyboard modes stacked, colours set.
    let stacked = format!("\x1b]2;{}\x07\x1b[22;0t\x1b[>31u\x1b]4;7;#123456\x07", "t".repeat(4000)).repeat(16);
    let most_stacked = most(b"", stacked.as_bytes(), 10 * MIB);
    assert!(most_stacked < MIB, "stacks take {most_stacked} bytes");

    // A full screen of text, with what an idle session could not do without.
    let text = "some text that fills the line, and then the next one ".repeat(200);
    let most_text = most(b"", text.as_bytes(), MIB);
    assert!(most_text < 256 * 1024, "a screen of text takes {most_text} bytes");
}
