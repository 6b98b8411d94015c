//! The screen at random places of a full journal, and a search through all of it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::baton::Baton;
use crate::figures::{Row, Samples, Table};

/// Random places asked for.
const PLACES: u64 = 200;
const SEARCHES: usize = 7;

/// Output of more than the 64 MiB that a journal keeps, then a last line that is found once.
const SCRIPTS: [(&str, &str); 2] = [
    (
        "log text",
        "seq -f '%08.0f   Compiling something-with-a-name v1.2.3 (a path that takes some room on the line)' 1 900000",
    ),
    (
        "full-screen",
        r#"awk 'BEGIN { for (f = 0; f < 26000; f++) { printf "\033[H"; for (r = 1; r <= 38; r++)
            printf "\033[%d;1H\033[38;5;%dm%06d\033[0m  task %4d  \033[1m%5.1f%%\033[0m  some state of it\033[K", r, (f + r) % 256, f, r, (f * r) % 1000 / 10 } }'"#,
    ),
];

/// Runs all of it.
pub fn run(baton: &Baton) -> Result<Table> {
    let mut table = Table { title: "The past: a full journal of 64 MiB".to_owned(), rows: Vec::new() };
    for (name, script) in SCRIPTS {
        let session = baton.script(name, &format!("{script}; printf 'needle-%s\\n' last; exec sleep 100000"))?;
        baton.until(&session, "needle-last")?;
        let detail = baton.get(&format!("/v1/sessions/{session}"))?.json()?;
        let offset = |key: &str| -> Result<(String, u64)> {
            let cursor = detail[key].as_str().with_context(|| format!("no `{key}`"))?;
            let (instance, offset) = cursor.split_once(':').context("a cursor without a colon")?;
            Ok((instance.to_owned(), offset.parse()?))
        };
        let ((instance, head), (_, oldest)) = (offset("cursor")?, offset("oldest_screen_cursor")?);
        #[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
        let kept = (head - oldest) as f64 / f64::from(1 << 20);
        screens(baton, name, &session, &instance, oldest, head, kept, &mut table)?;
        searches(baton, name, &session, kept, &mut table)?;
    }
    Ok(table)
}

#[expect(clippy::too_many_arguments, reason = "one measurement, named once")]
fn screens(
    baton: &Baton,
    name: &str,
    session: &str,
    instance: &str,
    oldest: u64,
    head: u64,
    kept: f64,
    table: &mut Table,
) -> Result<()> {
    let mut samples = Samples::default();
    let mut bytes = Samples::default();
    for place in 0..PLACES {
        // A multiplicative sequence: spread over the journal, and the same in each run.
        let spread = place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        let at = oldest + spread % (head - oldest).max(1);
        let begun = Instant::now();
        let screen = baton.get(&format!("/v1/terminal/sessions/{session}/snapshot?cursor={instance}:{at}"))?;
        samples.time(begun.elapsed());
        ensure!(screen.header("baton-cursor").is_some(), "an answer without Baton-Cursor");
        #[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
        bytes.add(screen.body.len() as f64 / 1024.0);
    }
    let note = format!("{kept:.0} MiB kept; {:.1} KiB each", bytes.median());
    table.rows.push(Row {
        group: format!("snapshot at a random cursor, {name}"),
        who: "baton".to_owned(),
        unit: "ms",
        samples,
        note,
    });
    Ok(())
}

fn searches(baton: &Baton, name: &str, session: &str, kept: f64, table: &mut Table) -> Result<()> {
    for (what, query) in [("words", "q=needle-last"), ("regex", "q=needle-l%5Ba-z%5D%2Bt&regex=true")] {
        let (mut samples, mut times) = (Samples::default(), Samples::default());
        for _ in 0..SEARCHES {
            let begun = Instant::now();
            let found = baton.get(&format!("/v1/terminal/sessions/{session}/search?{query}"))?.json()?;
            let time = begun.elapsed();
            ensure!(found["items"].as_array().is_some_and(|items| items.len() == 1), "found: {found}");
            times.time(time);
            samples.add(kept / time.as_secs_f64());
        }
        let note = format!("{:.0} ms for {kept:.0} MiB of output", times.median());
        table.rows.push(Row {
            group: format!("search by {what}, {name}"),
            who: "baton".to_owned(),
            unit: "MiB/s",
            samples,
            note,
        });
    }
    Ok(())
}
