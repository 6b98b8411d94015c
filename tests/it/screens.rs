//! The right screen from any cursor: a snapshot and the bytes behind it show what the whole stream shows.
//!
//! Two say so. `@xterm/headless` reads a recording from its beginning, and beside it, for each place, another one reads the snapshot
//! of that place and then the rest; they are compared cell by cell, with attributes, cursor, modes and saved state, where the second
//! joined and at places behind it. And the engine itself, which also knows what xterm does not: sizes that change, kitty keyboards.

use baton_screen::Screen;
use baton_screen::view::Line;
use baton_tests::Seed;
use baton_tests::oracle::{Compared, Comparison, Join, Oracle};
use baton_tests::recording::{self, Recording};
use baton_tests::scribble::{scribble, shrink};

use baton_proto::v1::Dimensions;

/// Places behind a join at which terminals are compared, spread over the stream; the last is its end.
const CHECKPOINTS: usize = 6;
/// Joins into one recording, unless the run is the long one.
const JOINS: usize = 90;
/// Joins into one recording of the long run: every place of all but the longest.
const JOINS_LONG: usize = 6000;
/// Joins that are asked for at once: their snapshots are held in memory.
const BATCH: usize = 500;

/// What a terminal may be in the middle of when a snapshot reaches it.
///
/// Not titles put away by `CSI 22 t`: they stay, because the lowest of them may be the one that the terminal's owner wants back.
const DIRT: [(&str, &[u8]); 8] = [
    ("stale text", b"\x1b[1;35;44mstale \xe4\xb8\xad\xe6\x96\x87\r\n\x1b#8\x1b[3;3Hmore\x1b]2;stale\x07\x1b]4;1;#00ff00\x07\x1b]11;#00ff00\x07\x1b[3g\x1b7"),
    ("alternate screen", b"below\x1b[?1049h\x1b[44mabove\x1b[?1003h\x1b[?1006h\x1b[?1h\x1b=\x1b[?2004h\x1b[?1004h\x1b[>15u\x1b[?25l\x1b[4 q"),
    ("origin mode and margins", b"\x1b[2;4r\x1b[?6h\x1b[?7l\x1b[4h\x1b[20h\x1b[?45h\x1b7"),
    ("shifted character set", b"\x1b)0\x1b*0\x1b+0\x0e\x1b7\x1bn"),
    ("pen and an open update", b"\x1b[1;2;3;4:3;5;7;9;38;5;200;48;2;1;2;3;58:5:9m\x1b]8;;https://example.org/stale\x07\x1b[?2026h"),
    ("half a control sequence", b"\x1b[?2026h\x1b[31;4"),
    ("half a string", b"\x1b]0;half a tit"),
    ("half a character in a device string", b"\x1bPhalf \xe3\x81"),
];

fn dimensions(cols: u16, rows: u16) -> Dimensions {
    Dimensions { cols, rows }
}

/// A place to join at.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Bytes that were there when somebody joined.
    cursor: usize,
    /// Where a snapshot can be made: the last place up to there at which nothing is unfinished. The bytes behind it follow.
    boundary: usize,
}

/// Every place where the stream may be cut, each with the first cursor that leads to it, the beginning among them.
fn places(cols: u16, rows: u16, stream: &[u8]) -> Vec<Place> {
    let mut screen = Screen::new(dimensions(cols, rows));
    let mut seen = Vec::new();
    let mut places = vec![Place { cursor: 0, boundary: 0 }];
    for (index, byte) in stream.iter().enumerate() {
        screen.feed(std::slice::from_ref(byte), &mut seen);
        seen.clear();
        let boundary = usize::try_from(screen.boundary()).unwrap();
        if places.last().is_some_and(|last| last.boundary < boundary) {
            places.push(Place { cursor: index + 1, boundary });
        }
    }
    places
}

/// Snapshots at some of those places.
///
/// `choose` is given how many there are, and says which.
fn joins(mut screen: Screen, stream: &[u8], history: usize, choose: impl FnOnce(usize) -> Vec<usize>) -> Vec<Join> {
    let size = screen.size();
    let places = places(size.cols, size.rows, stream);
    let mut joins = Vec::new();
    let (mut fed, mut seen) = (0, Vec::new());
    for chosen in choose(places.len()) {
        let Place { cursor, boundary } = places[chosen];
        screen.feed(&stream[fed..cursor], &mut seen);
        seen.clear();
        fed = cursor;
        joins.push(Join { at: boundary, before: Vec::new(), snapshot: screen.snapshot(history) });
    }
    joins
}

fn blank(cols: u16, rows: u16) -> Screen {
    Screen::new(dimensions(cols, rows))
}

/// At most `limit` of `count`, each part of the stream equally dense, and all of them if they are few.
fn spread(seed: &mut Seed, count: usize, limit: usize) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    (0..limit)
        .map(|part| {
            let (from, to) = (part * count / limit, (part + 1) * count / limit);
            usize::try_from(seed.within(from as u64..to as u64)).unwrap()
        })
        .collect()
}

fn comparison(cols: u16, rows: u16, length: usize) -> Comparison {
    let checkpoints = (1..=CHECKPOINTS).map(|part| part * length / CHECKPOINTS).collect();
    // With lines above the screen, as on the page: without, xterm takes its first line for the one behind its last.
    Comparison { cols, rows, scrollback: 1000, history: 0, checkpoints }
}

fn join_recording(
    oracle: &mut Oracle,
    seed: &mut Seed,
    Recording { name, header, bytes }: &Recording,
    limit: usize,
) -> Compared {
    let joins = joins(blank(header.cols, header.rows), bytes, 0, |count| spread(seed, count, limit));
    let comparison = comparison(header.cols, header.rows, bytes.len());
    let mut all = Compared::default();
    for batch in joins.chunks(BATCH) {
        all.add(oracle.joins(&comparison, bytes, batch));
    }
    println!(
        "{name:>16}: {:>6} bytes, {:>5} joins, {:>6} comparisons, {} unexplained differences in {} joins; known {:?}",
        bytes.len(),
        all.joins,
        all.comparisons,
        all.unexplained,
        all.joins_that_differ,
        all.known
    );
    for difference in &all.told {
        println!("    {difference:?}");
    }
    all
}

/// Every recording, so many joins into each.
fn join_all(limit: usize) -> Compared {
    let mut seed = Seed::from_env();
    let mut oracle = Oracle::start();
    let mut all = Compared::default();
    for recording in recording::all() {
        all.add(join_recording(&mut oracle, &mut seed, &recording, limit));
    }
    println!("{} joins, {} comparisons; known {:?}", all.joins, all.comparisons, all.known);
    for known in oracle.known().iter().filter(|known| all.known.contains_key(&known.name)) {
        println!("    {}: {}", known.name, known.why);
    }
    all
}

#[track_caller]
fn assert_explained(compared: &Compared) {
    assert!(
        compared.unexplained == 0,
        "{} unexplained differences in {} of {} joins; the first: {:#?}",
        compared.unexplained,
        compared.joins_that_differ,
        compared.joins,
        compared.told.iter().take(6).collect::<Vec<_>>()
    );
}

#[test]
fn wherever_one_joins_a_recorded_program_it_looks_the_same() {
    let compared = join_all(JOINS);
    assert!(recording::all().len() >= 20, "the corpus has at least twenty programs");
    assert_explained(&compared);
}

/// Without a snapshot between: the engine that reads a recording shows the text that xterm shows.
#[test]
fn the_engine_shows_what_xterm_shows() {
    let mut seed = Seed::from_env();
    let mut oracle = Oracle::start();
    for Recording { name, header, bytes } in recording::all() {
        let places = places(header.cols, header.rows, &bytes);
        for chosen in spread(&mut seed, places.len(), 12) {
            let read = &bytes[..places[chosen].boundary];
            let mut screen = blank(header.cols, header.rows);
            screen.feed(read, &mut Vec::new());
            let view = screen.view(0);
            let text = |line: &Line| line.cells.iter().map(|cell| cell.text.as_str()).collect::<String>();
            let rows: Vec<String> = view.lines.iter().map(|line| text(line).trim_end().to_owned()).collect();
            let shown = oracle.text(header.cols, header.rows, read);
            let expected: Vec<&str> = shown.rows.iter().map(|row| row.trim_end()).collect();
            assert_eq!(rows, expected, "{name} at {}", read.len());
            let behind_last = usize::from(view.cursor.wrap_pending);
            let cursor = (usize::from(view.cursor.row), usize::from(view.cursor.col) + behind_last);
            assert_eq!(cursor, shown.cursor, "{name} at {}", read.len());
        }
    }
}

/// Ten minutes, so not by nextest, which ends what takes that long:
/// `cargo test -p baton-tests --test it -- --ignored --nocapture a_hundred_thousand` prints the figures.
#[test]
#[ignore = "minutes: joins every recording at every place, or at thousands"]
fn a_hundred_thousand_joins() {
    let compared = join_all(JOINS_LONG);
    assert!(compared.joins >= 100_000, "{} joins", compared.joins);
    assert_explained(&compared);
}

#[test]
fn wherever_one_joins_random_output_it_looks_the_same() {
    let seed = Seed::from_env();
    let mut oracle = Oracle::start();
    let mut all = Compared::default();
    for round in 0..rounds(150) {
        let mut seed = seed.fork(round);
        let (cols, rows) = small_for_oracle(&mut seed);
        let steps = usize::try_from(seed.within(5..120)).unwrap();
        let steps = scribble(&mut seed, steps, cols, rows);
        let compared = join_steps(&mut oracle, cols, rows, &steps);
        if compared.unexplained > 0 {
            let fewest = shrink(steps, |fewer| join_steps(&mut oracle, cols, rows, fewer).unexplained > 0);
            println!("round {round}, {cols}x{rows}: {}", fewest.concat().escape_ascii());
            for difference in join_steps(&mut oracle, cols, rows, &fewest).told.iter().take(4) {
                println!("    {difference:?}");
            }
        }
        all.add(compared);
    }
    println!("{} joins, {} comparisons; known {:?}", all.joins, all.comparisons, all.known);
    assert_explained(&all);
}

/// Joins everywhere, or at two dozen places.
fn join_steps(oracle: &mut Oracle, cols: u16, rows: u16, steps: &[Vec<u8>]) -> Compared {
    let stream = steps.concat();
    let every = |count: usize| (0..count).step_by(count.div_ceil(24)).collect();
    oracle.joins(&comparison(cols, rows, stream.len()), &stream, &joins(blank(cols, rows), &stream, 0, every))
}

/// How many rounds: `BATON_ROUNDS`, or what fits beside the other tests.
fn rounds(usual: u64) -> u64 {
    std::env::var("BATON_ROUNDS").map_or(usual, |text| text.parse().expect("BATON_ROUNDS is a number"))
}

fn small(seed: &mut Seed) -> (u16, u16) {
    let side = |seed: &mut Seed, range| u16::try_from(seed.within(range)).unwrap();
    (side(seed, 2..31), side(seed, 1..13))
}

/// Not a single row: where nothing can scroll out, xterm takes the row that a wide character leaves for the one it comes to.
fn small_for_oracle(seed: &mut Seed) -> (u16, u16) {
    let (cols, rows) = small(seed);
    (cols, rows + 1)
}

#[test]
fn a_snapshot_gets_rid_of_whatever_state_it_meets() {
    let seed = Seed::from_env();
    let mut oracle = Oracle::start();
    let mut all = Compared::default();
    for (number, recording) in recording::all().iter().enumerate() {
        let mut seed = seed.fork(number as u64);
        let Recording { header, bytes, .. } = recording;
        let joins = joins(blank(header.cols, header.rows), bytes, 0, |count| spread(&mut seed, count, 6));
        for (name, before) in DIRT {
            let dirty: Vec<Join> = joins.iter().map(|join| Join { before: before.to_vec(), ..join.clone() }).collect();
            let compared = oracle.joins(&comparison(header.cols, header.rows, bytes.len()), bytes, &dirty);
            if compared.unexplained > 0 {
                println!("{} over {name}: {} unexplained", recording.name, compared.unexplained);
                for difference in &compared.told {
                    println!("    {difference:?}");
                }
            }
            all.add(compared);
        }
    }
    println!("{} joins; known {:?}", all.joins, all.known);
    assert_explained(&all);
}

/// Lines above the screen that a snapshot of the next test brings.
const HISTORY: usize = 60;

#[test]
fn the_lines_above_the_screen_come_with_it() {
    let mut seed = Seed::from_env();
    let mut oracle = Oracle::start();
    let mut all = Compared::default();
    for Recording { name, header, bytes } in recording::all() {
        let screen = Screen::with_history(dimensions(header.cols, header.rows), 1000);
        let joins = joins(screen, &bytes, HISTORY, |count| spread(&mut seed, count, 20));
        let comparison = Comparison { history: HISTORY, ..comparison(header.cols, header.rows, bytes.len()) };
        let compared = oracle.joins(&comparison, &bytes, &joins);
        if compared.unexplained > 0 {
            println!("{name}: {} unexplained in {} joins", compared.unexplained, compared.joins_that_differ);
            for difference in &compared.told {
                println!("    {difference:?}");
            }
        }
        all.add(compared);
    }
    println!("{} joins, {} comparisons; known {:?}", all.joins, all.comparisons, all.known);
    assert_explained(&all);
}

/// The engine restored from a snapshot, beside the one that read everything.
#[track_caller]
fn assert_restores(what: &str, whole: &Screen, restored: &Screen) {
    let (expected, view) = (whole.view(0), restored.view(0));
    if expected != view {
        for (row, (a, b)) in expected.lines.iter().zip(&view.lines).enumerate() {
            if a != b {
                println!(
                    "row {row}:\n  {}\n  {}",
                    serde_json::to_string(a).unwrap(),
                    serde_json::to_string(b).unwrap()
                );
            }
        }
        assert_eq!((expected.cursor, &expected.modes), (view.cursor, &view.modes), "{what}");
        assert_eq!((&expected.title, &expected.cwd, &expected.links), (&view.title, &view.cwd, &view.links), "{what}");
        panic!("{what}: the lines differ");
    }
    let (expected, again) = (whole.snapshot(0), restored.snapshot(0));
    assert!(expected == again, "{what}: not a fixpoint:\n  {}\n  {}", expected.escape_ascii(), again.escape_ascii());
}

fn engine_joins(what: &str, cols: u16, rows: u16, stream: &[u8], choose: impl FnOnce(usize) -> Vec<usize>) -> usize {
    let size = dimensions(cols, rows);
    let mut seen = Vec::new();
    let mut whole = Screen::new(size);
    whole.feed(stream, &mut seen);
    let mut walker = Screen::new(size);
    let mut walked = 0;
    let places = places(cols, rows, stream);
    let chosen = choose(places.len());
    for &index in &chosen {
        let Place { cursor, boundary } = places[index];
        walker.feed(&stream[walked..cursor], &mut seen);
        walked = cursor;
        let mut restored = Screen::restore(size, 0, boundary as u64, &walker.snapshot(0));
        assert_restores(&format!("{what}, restored at {boundary}"), &walker, &restored);
        restored.feed(&stream[boundary..], &mut seen);
        seen.clear();
        assert_restores(&format!("{what}, joined at {boundary}"), &whole, &restored);
    }
    chosen.len()
}

#[test]
fn the_engine_itself_is_restored_by_a_snapshot() {
    let mut seed = Seed::from_env();
    let mut count = 0;
    for Recording { name, header, bytes } in recording::all() {
        count += engine_joins(&name, header.cols, header.rows, &bytes, |count| spread(&mut seed, count, 40));
    }
    println!("{count} joins into recordings");
}

#[test]
fn the_engine_itself_is_restored_in_the_middle_of_random_output() {
    let seed = Seed::from_env();
    for round in 0..rounds(400) {
        let mut seed = seed.fork(round);
        let (cols, rows) = small(&mut seed);
        let steps = usize::try_from(seed.within(5..120)).unwrap();
        let stream = scribble(&mut seed, steps, cols, rows).concat();
        let what = format!("round {round}, {cols}x{rows}, {}", stream.escape_ascii());
        engine_joins(&what, cols, rows, &stream, |count| spread(&mut seed, count, 25));
    }
}

/// Sizes change anywhere; whoever joins in between ends with the same screen, at the size it was told.
#[test]
fn sizes_that_change_do_not_matter_to_who_joins() {
    let seed = Seed::from_env();
    for round in 0..rounds(300) {
        let mut seed = seed.fork(round);
        let (cols, rows) = small(&mut seed);
        let parts: Vec<((u16, u16), Vec<u8>)> = (0..seed.within(2..6))
            .map(|_| {
                let size = small(&mut seed);
                let steps = usize::try_from(seed.within(2..40)).unwrap();
                (size, scribble(&mut seed, steps, size.0, size.1).concat())
            })
            .collect();
        let story: Vec<String> =
            parts.iter().map(|((cols, rows), bytes)| format!("{cols}x{rows} {}", bytes.escape_ascii())).collect();
        let mut whole = Screen::new(dimensions(cols, rows));
        let mut joined: Vec<Screen> = Vec::new();
        let mut seen = Vec::new();
        for (number, ((cols, rows), bytes)) in parts.iter().enumerate() {
            let all = std::iter::once(&mut whole).chain(&mut joined);
            for screen in all {
                screen.resize(dimensions(*cols, *rows));
                screen.feed(bytes, &mut seen);
            }
            seen.clear();
            for (join, screen) in joined.iter().enumerate() {
                let what = format!("round {round}: joined after part {join}, seen after {number} of {story:#?}");
                assert_restores(&what, &whole, screen);
            }
            // What is held back behind the boundary is read again by whoever joins.
            let at = usize::try_from(whole.boundary()).unwrap();
            let before: usize = parts[..=number].iter().map(|(_, bytes)| bytes.len()).sum();
            let mut restored = Screen::restore(dimensions(*cols, *rows), 0, at as u64, &whole.snapshot(0));
            restored.feed(&bytes[bytes.len() - (before - at)..], &mut seen);
            joined.push(restored);
        }
    }
}

/// The page counts columns with a table of its own; it is written by this test: `BATON_WRITE_WIDTHS=1`.
#[test]
fn the_widths_of_the_page_are_the_widths_of_the_worker() {
    let mut screen = Screen::new(dimensions(10, 1));
    let mut seen = Vec::new();
    let mut ranges: Vec<(u32, u32, u16)> = Vec::new();
    for code in 0xa0..=u32::from(char::MAX) {
        let Some(character) = char::from_u32(code) else { continue };
        screen.feed(b"\r\x1b[Kab", &mut seen);
        screen.feed(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut seen);
        seen.clear();
        let columns = screen.view(0).cursor.col - 2;
        match ranges.last_mut() {
            _ if columns == 1 => {}
            Some((_, last, same)) if *same == columns && *last + 1 == code => *last = code,
            _ => ranges.push((code, code, columns)),
        }
    }
    let lines: Vec<String> =
        ranges.iter().map(|(first, last, columns)| format!("  [{first}, {last}, {columns}]")).collect();
    let expected = format!("[\n{}\n]\n", lines.join(",\n"));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/web/src/terminal/widths.json");
    if std::env::var_os("BATON_WRITE_WIDTHS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let table = std::fs::read_to_string(&path).unwrap();
    assert!(table == expected, "`widths.json` is not how the worker counts: run this test with BATON_WRITE_WIDTHS=1");
}
