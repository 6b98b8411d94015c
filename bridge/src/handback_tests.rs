//! What a report is made of, without a session in sight.
#![allow(clippy::unwrap_used)]

use baton_proto::ids::InstanceId;

use super::*;

fn instance(number: u128) -> InstanceId {
    InstanceId::from_uuid(uuid::Uuid::from_u128(number))
}

/// `p` and `q` are persons.
fn client(name: &str) -> ClientId {
    if name.len() == 1 { uuid::Uuid::from_u128(u128::from(name.as_bytes()[0])).into() } else { name.parse().unwrap() }
}

/// Epoch, owner, output.
type Change = (u64, Option<&'static str>, u64);

/// A history, the epoch that is asked about, and the epoch of the loss and the number of holders, if there was one.
type Case<'a> = (&'a [Change], u64, Option<(u64, usize)>);

/// Changes a second apart.
fn history(rows: &[Change]) -> Vec<LeaseRow> {
    let row = |(number, &(epoch, owner, head)): (usize, &Change)| LeaseRow {
        epoch: Epoch(epoch),
        owner: owner.map(client),
        owner_name: owner.map(str::to_owned),
        owner_kind: None,
        at_us: (number as u64 + 1) * 1_000_000,
        instance: Some(instance(1)),
        head: Some(head),
    };
    rows.iter().enumerate().map(row).collect()
}

const AGENT: &str = "agent:a";

#[test]
fn an_absence_is_from_the_loss_to_the_return_with_somebody_in_between() {
    let a = Some(AGENT);
    let cases: &[Case<'_>] = &[
        // Taken and given back: lost under 2, one holder.
        (&[(1, a, 0), (2, Some("p"), 10), (3, a, 20)], 3, Some((2, 1))),
        // Never had before; had and given up with nobody in between; another's epoch; none of that number.
        (&[(1, Some("p"), 0), (2, a, 5)], 2, None),
        (&[(1, a, 0), (2, None, 5), (3, a, 6)], 3, None),
        (&[(1, a, 0), (2, Some("p"), 5), (3, Some("q"), 6)], 3, None),
        (&[(1, a, 0), (2, Some("p"), 5), (3, a, 6)], 4, None),
        (&[], 1, None),
        // Given up first, had by two; expiry is told under the epoch it belongs to.
        (
            &[(1, a, 0), (1, a, 1), (2, None, 2), (3, Some("p"), 3), (3, Some("p"), 4), (4, Some("q"), 5), (5, a, 6)],
            5,
            Some((2, 2)),
        ),
        // The last of two absences.
        (&[(1, a, 0), (2, Some("p"), 1), (3, a, 2), (4, Some("q"), 3), (5, a, 4), (5, a, 9)], 5, Some((4, 1))),
    ];
    for (rows, epoch, expected) in cases {
        let rows = history(rows);
        let found = absence(&rows, &client(AGENT), Epoch(*epoch));
        let found = found.map(|absence| (absence.lost.epoch.0, absence.held.len()));
        assert_eq!(found, *expected, "{rows:?}");
    }
}

fn mark(kind: &str, offset: u64, text: Option<&str>, exit_code: Option<i32>) -> Happening {
    let cursor = Cursor { instance: instance(1), offset };
    let mark = Mark {
        kind: kind.to_owned(),
        cursor,
        text: text.map(str::to_owned),
        exit_code,
        duration_ms: None,
        left_out: None,
    };
    Happening::Mark { mark, at_us: 0 }
}

fn report_of(happenings: Vec<Happening>) -> Handback {
    let rows = history(&[(1, Some(AGENT), 0), (2, Some("p"), 100), (3, Some(AGENT), 200)]);
    let absence = absence(&rows, &client(AGENT), Epoch(3)).unwrap();
    let mut seen = Seen::default();
    for happening in happenings {
        seen.take(happening, &absence);
    }
    told(&absence, seen)
}

fn lines(handback: &Handback) -> Vec<String> {
    let line = |run: &CommandRun| {
        let CommandRun { command, exit_code, began_before, running, .. } = run;
        format!("{} {exit_code:?} {began_before} {running}", command.as_deref().unwrap_or("?"))
    };
    handback.commands.iter().map(line).collect()
}

#[test]
fn marks_belong_to_where_they_stand_however_late_they_are_told() {
    let handback = report_of(vec![
        mark("cwd", 10, Some("/before"), None),
        mark("title", 20, Some("same"), None),
        mark("command", 30, Some("old"), None),
        mark("command_end", 40, None, Some(0)),
        mark("command", 100, Some("running"), None),
        mark("command_end", 110, None, Some(130)),
        mark("prompt", 111, None, None),
        mark("cwd", 112, Some("/after\u{7}"), None),
        mark("title", 113, Some("same"), None),
        mark("command", 200, Some("at the end"), None),
        mark("command_end", 201, None, Some(1)),
        mark("cwd", 202, Some("/later"), None),
    ]);
    assert_eq!(lines(&handback), ["running Some(130) true false", "at the end None false true"]);
    assert_eq!(handback.cwd, Some(TextChange { before: Some("/before".to_owned()), after: "/after".to_owned() }));
    assert_eq!((handback.title, handback.size), (None, None));
    assert_eq!(handback.from.map(|cursor| cursor.offset), Some(100));
    assert_eq!(handback.to.map(|cursor| cursor.offset), Some(200));
}

#[test]
fn a_shell_that_tells_no_ends_is_believed_as_far_as_it_goes() {
    // The command from before went on; two that ended without a word; an end without a beginning.
    let handback = report_of(vec![
        mark("command", 50, Some("old"), None),
        mark("command", 60, Some("server"), None),
        mark("command", 120, Some("one"), None),
        mark("prompt", 130, None, None),
        mark("command_end", 140, None, Some(2)),
        mark("command", 150, Some("two"), None),
        mark("command", 160, Some("three"), None),
    ]);
    let expected = [
        "server None true false",
        "one None false false",
        "? Some(2) false false",
        "two None false false",
        "three None false true",
    ];
    assert_eq!(lines(&handback), expected);
    // One that ended before is none of this time's, whoever says so.
    for end in ["command_end", "prompt"] {
        assert!(report_of(vec![mark("command", 50, Some("old"), None), mark(end, 60, None, None)]).commands.is_empty());
    }
}

#[test]
fn everything_has_a_bound() {
    let mut happenings = vec![mark("command", 90, Some("before"), None)];
    for number in 0..90 {
        happenings.push(mark("command", 101 + number, Some(&"x".repeat(5000)), None));
    }
    let handback = report_of(happenings);
    assert_eq!((handback.commands.len(), handback.commands_left_out), (COMMANDS_MAX, 41));
    assert!(handback.commands.iter().all(|run| run.command.as_ref().unwrap().len() == TEXT_CHARS_MAX));
    let mut rows = vec![(1, Some(AGENT), 0)];
    rows.extend((2..40).map(|epoch| (epoch, Some(if epoch % 2 == 0 { "p" } else { "q" }), 1)));
    rows.push((40, Some(AGENT), 2));
    let rows = history(&rows);
    let absence = absence(&rows, &client(AGENT), Epoch(40)).unwrap();
    let handback = told(&absence, Seen::default());
    assert_eq!(handback.held_by.len(), HOLDERS_MAX);
    assert_eq!(handback.held_by.last().unwrap().client_id, client("q"));
}
