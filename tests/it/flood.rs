//! One principal floods: it is told when to come back, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baton_tests::{Attach, Baton, Setup, scenario};
use http::Method;
use serde_json::{Value, json};

/// Requests a second that one principal may make here.
const RATE: usize = 50;
/// Those who flood at once.
const FLOODERS: usize = 6;
/// What a neighbour's slowest requests and keystrokes may take on a machine of two cores that is busy with the flood. Without a
/// limit of its own a neighbour is refused, and one that waits for the flood's turn takes seconds.
const SLOWEST: Duration = Duration::from_millis(1000);

fn percentile(mut took: Vec<Duration>, of_hundred: usize) -> Duration {
    took.sort();
    took[(took.len() * of_hundred / 100).min(took.len() - 1)]
}

#[test]
fn a_flood_is_told_when_to_come_back_and_nobody_else_notices() {
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", &RATE.to_string());
    scenario(Duration::from_secs(90), setup, async |baton: &Baton| {
        let session = baton.script("stty -echo; echo on; while read -r word; do echo \"=$word=\"; done").await;
        let made: Value =
            baton.api().post("/v1/auth/tokens", &json!({"name": "flooder", "role": "collaborator"})).await;
        let flooder = baton.nobody().with_token(made["token"].as_str().unwrap());
        let mut typist = baton.attach(session, Attach::named("typist")).await;
        typist.until_output("on\r\n").await;
        typist.claim(false).await.unwrap();

        let stop = Arc::new(AtomicBool::new(false));
        let flood: Vec<_> = (0..2 * FLOODERS)
            .map(|number| {
                // Half of it by nobody, from the same address.
                let (api, known) = if number % 2 == 0 { (flooder.clone(), true) } else { (baton.nobody(), false) };
                let stop = Arc::clone(&stop);
                tokio::spawn(async move {
                    let (mut asked, mut refused) = (0_usize, 0_usize);
                    while !stop.load(Ordering::Relaxed) {
                        let path = if known { "/v1/sessions" } else { "/v1/health" };
                        let Ok(answer) = api.send(Method::GET, path, None).await else { continue };
                        asked += 1;
                        if answer.status == 429 {
                            refused += 1;
                            let problem = answer.problem();
                            let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
                            assert_eq!(problem.retry_after_s, Some(wait));
                            assert!((1..=2).contains(&wait), "{wait} s for a bucket that gains {RATE} a second");
                        } else {
                            assert_eq!(answer.status, 200, "{answer}");
                        }
                    }
                    (known, asked, refused)
                })
            })
            .collect();

        // A neighbour, at the same address, well within its limit: never refused, and answered in time.
        let (api, begun) = (baton.api(), Instant::now());
        let neighbour = async {
            let mut took = Vec::new();
            while begun.elapsed() < Duration::from_secs(6) {
                let asked = Instant::now();
                let answer = api.call::<()>(Method::GET, "/v1/sessions", None).await;
                assert_eq!(answer.status, 200, "a neighbour is refused: {answer}");
                took.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            took
        };
        // The owner of a lease types: every key arrives, once, in order.
        let typing = async {
            let (mut took, epoch) = (Vec::new(), typist.epoch);
            let mut number = 0_u64;
            while begun.elapsed() < Duration::from_secs(6) {
                number += 1;
                let typed = Instant::now();
                typist.input(format!("{number}\n").as_bytes(), epoch, number).await;
                typist.until_output(&format!("={number}=\r\n")).await;
                took.push(typed.elapsed());
            }
            (took, number)
        };
        let (answered, (echoed, typed)) = tokio::join!(neighbour, typing);
        stop.store(true, Ordering::Relaxed);
        let (mut by_known, mut by_nobody) = ((0, 0), (0, 0));
        for flooder in flood {
            let (known, asked, refused) = flooder.await.unwrap();
            let sum = if known { &mut by_known } else { &mut by_nobody };
            *sum = (sum.0 + asked, sum.1 + refused);
        }
        let whole: String = (1..=typed).map(|number| format!("={number}=\r\n")).collect();
        assert!(String::from_utf8_lossy(&typist.output).ends_with(&whole), "every key, once, in order");
        println!(
            "the flooder asked {} times and was refused {}, nobody {} and {}; a neighbour's p50 {:?}, p99 {:?} of {}; {typed} keys, \
             echo p50 {:?}, p99 {:?}",
            by_known.0,
            by_known.1,
            by_nobody.0,
            by_nobody.1,
            percentile(answered.clone(), 50),
            percentile(answered.clone(), 99),
            answered.len(),
            percentile(echoed.clone(), 50),
            percentile(echoed.clone(), 99),
        );
        assert!(by_known.1 > 0 && by_nobody.1 > 0, "a flood is refused");
        // Six seconds and the burst of two; the clock of the flood may run a little longer.
        assert!(by_known.0 - by_known.1 <= RATE * 12, "{} were answered", by_known.0 - by_known.1);
        assert!(percentile(answered, 99) < SLOWEST && percentile(echoed, 99) < SLOWEST);

        // Who waits as long as it was told is let in.
        let wait = loop {
            let answer = flooder.call::<()>(Method::GET, "/v1/sessions", None).await;
            if answer.status == 429 {
                break answer.header("retry-after").unwrap().parse().unwrap();
            }
        };
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(flooder.call::<()>(Method::GET, "/v1/sessions", None).await.status, 200, "after {wait} s");
    });
}
