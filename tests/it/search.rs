//! Searching what a session wrote: as it was shown, over everything that is kept.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{SearchAnswer, SearchHit, SessionDetail};
use baton_proto::ids::SessionId;
use baton_tests::{Baton, Setup, binaries, scenario, session};
use http::Method;

/// Bytes of a line of `baton-test-program flood`, as the terminal has them (CR LF).
const FLOOD_LINE: u64 = 65;

fn path(id: SessionId, query: &str) -> String {
    format!("/v1/terminal/sessions/{id}/search?{query}")
}

async fn search(baton: &Baton, id: SessionId, query: &str) -> SearchAnswer {
    baton.api().get(&path(id, query)).await
}

/// Every hit, page by page.
async fn search_all(baton: &Baton, id: SessionId, query: &str) -> Vec<SearchHit> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = search(baton, id, &format!("{query}{cursor}")).await;
        items.extend(answer.items);
        match answer.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

async fn ended(baton: &Baton, id: SessionId) -> SessionDetail {
    let ended = |detail: &SessionDetail| !detail.session.status.is_living();
    baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await
}

async fn flood(baton: &Baton, bytes: u64) -> SessionId {
    let program = binaries::path("baton-test-program");
    let bytes = bytes.to_string();
    let id = baton.create(&session::command([program.to_str().unwrap(), "flood", &bytes])).await;
    ended(baton, id).await;
    id
}

#[test]
fn text_is_found_as_it_was_shown_and_where_the_screen_shows_it() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let long = "wrapped-".repeat(15);
        let script = format!(
            r"printf '\033]0;needle in the title\007'
              printf 'plain \033[1;31mnee\033[0mdle one\n'
              for n in 10 50 100; do printf '\rdone %s%%' $n; done; printf '\n'
              printf '{long}needle\n'
              printf '\033[10;5Haddressed \033[10;20Hneedle\033[12;1H'
              printf 'grün 日本 n\b\bneedle\n'; printf 'prompt needle> '; exec sleep 600"
        );
        let id = baton.script(&script).await;
        let shown = |answer: &SearchAnswer| answer.items.iter().any(|hit| hit.line.starts_with("prompt"));
        let answer: SearchAnswer = baton.api().get_until(&path(id, "q=needle&context=1"), shown).await;
        let lines: Vec<&str> = answer.items.iter().map(|hit| hit.line.as_str()).collect();
        let wrapped = format!("{long}needle");
        assert_eq!(lines, ["plain needle one", &wrapped, "needle", "grün 日本needle", "prompt needle> "]);
        assert_eq!(answer.next_cursor, None);
        for hit in &answer.items {
            let [from, to] = hit.matches[0];
            assert_eq!(&hit.line[from as usize..to as usize], "needle");
            let at = format!("/v1/terminal/sessions/{id}/snapshot?format=text&cursor={}", hit.cursor);
            let screen = baton.api().call::<()>(Method::GET, &at, None).await;
            assert_eq!(screen.status, 200, "{at}: {screen}");
            let text = String::from_utf8(screen.body.to_vec()).unwrap().replace('\n', "");
            assert!(text.contains(hit.line.trim_end()), "`{}` at {} in {text:?}", hit.line, hit.cursor);
        }
        assert_eq!((answer.items[0].before.len(), answer.items[0].after[0].as_str()), (0, "done 10%"));
        let progress = search(baton, id, "q=%5Edone%20%5Cd%2B%25%24&regex=true").await;
        let lines: Vec<&str> = progress.items.iter().map(|hit| hit.line.as_str()).collect();
        assert_eq!(lines, ["done 10%", "done 50%", "done 100%"]);
        assert_eq!(search(baton, id, "q=NEEDLE").await.items.len(), 0);
        assert_eq!(search(baton, id, "q=NEEDLE&case=ignore&limit=2").await.items.len(), 2);
        assert_eq!(search_all(baton, id, "q=needle&limit=1&context=1").await, answer.items);
        assert_eq!(search(baton, id, "q=title").await.items.len(), 0, "a title is no line");
    });
}

#[test]
fn every_line_that_is_kept_is_found_once_across_segments_and_behind_what_was_trimmed() {
    let setup = Setup::plain().env("BATON_SESSION__JOURNAL_BYTES", "8388608");
    scenario(Duration::from_secs(240), setup, async |baton: &Baton| {
        let id = flood(baton, 24 << 20).await;
        let detail = baton.session(id).await;
        let oldest = detail.session.oldest_cursor.offset;
        assert!(oldest > 8 << 20, "the journal was trimmed: {oldest}");
        let hits = search_all(baton, id, "q=%5C.%7B43%7D%24&regex=true&limit=1000").await;
        // The first line may have lost its beginning.
        let first = oldest.div_ceil(FLOOD_LINE);
        let last = (24 << 20) / 64;
        let numbers: Vec<u64> = hits.iter().filter_map(|hit| hit.line[..20].parse().ok()).collect();
        let whole: Vec<u64> = (first..last).collect();
        assert!(
            numbers.ends_with(&whole) && numbers.len() - whole.len() <= 1,
            "{} lines of {}",
            numbers.len(),
            whole.len()
        );
        for (hit, number) in hits[hits.len() - whole.len()..].iter().zip(&whole) {
            assert_eq!(hit.cursor.offset, number * FLOOD_LINE + 63);
        }
        let early = format!("q=x&cursor={}:5", detail.session.instance);
        baton.api().refused(Method::GET, &path(id, &early), &(), ErrorCode::CursorTrimmed).await;
    });
}

#[test]
fn what_cannot_be_searched_for_is_refused_with_a_reason() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let id = baton.script("echo x; exec sleep 600").await;
        let instance = baton.session(id).await.session.instance;
        let long = "x".repeat(1025);
        for query in [
            "",
            "q=",
            "q=%28&regex=true",
            "q=%28%5Cw%7B100%7D%29%7B100%7D%7B100%7D&regex=true",
            &format!("q={long}"),
            "q=a%0Ab",
            "q=x&case=maybe",
            "q=x&cursor=5",
            &format!("q=x&cursor={instance}:999999"),
        ] {
            baton.api().refused(Method::GET, &path(id, query), &(), ErrorCode::Invalid).await;
        }
        let other = "q=x&cursor=ins_00000000000000000000000000000007:0";
        baton.api().refused(Method::GET, &path(id, other), &(), ErrorCode::CursorTrimmed).await;
        let nobody = baton.nobody().call::<()>(Method::GET, &path(id, "q=x"), None).await;
        assert_eq!(nobody.status, 401);
    });
}

#[test]
fn a_full_journal_is_searched_and_too_many_at_once_are_told_to_wait() {
    scenario(Duration::from_secs(300), Setup::plain(), async |baton: &Baton| {
        let id = flood(baton, 60 << 20).await;
        let detail = baton.session(id).await;
        let bytes = detail.session.cursor.offset - detail.session.oldest_cursor.offset;
        for query in ["q=needle", "q=%5Cd%2B%20needle&regex=true", "q=NEEDLE&case=ignore"] {
            let begun = Instant::now();
            assert!(search_all(baton, id, query).await.is_empty());
            let seconds = begun.elapsed().as_secs_f64();
            println!("{query}: {:.0} MiB/s over {} MiB", bytes as f64 / f64::from(1 << 20) / seconds, bytes >> 20);
            assert!(seconds < 60.0, "{query} took {seconds} s");
        }
        // Eighteen find a place or wait for one; the others are told when to come again.
        let many = (0..40).map(|_| {
            let (api, path) = (baton.api(), path(id, "q=needle&regex=true"));
            tokio::spawn(async move { api.call::<()>(Method::GET, &path, None).await })
        });
        let (mut found, mut refused) = (0, 0);
        for answer in many.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            match answer.status {
                200 => found += 1,
                _ => {
                    assert_eq!(answer.problem().code, ErrorCode::RateLimited, "{answer}");
                    assert!(answer.header("retry-after").is_some(), "{answer}");
                    refused += 1;
                }
            }
        }
        assert!(found >= 2 && refused >= 1, "{found} searched, {refused} refused");
        assert!(search(baton, id, "q=00000000000000000007...").await.items.len() <= 1, "it goes on afterwards");
    });
}
