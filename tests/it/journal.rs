//! The journal is the truth: what the program wrote, in order, with what happened in between.

use std::time::Duration;

use baton_proto::api::{CreateTerminal, SessionDetail};
use baton_proto::frame::{self, Frame, Kind};
use baton_proto::v1::{self, ExitRecord, InputRecord, RangeHeader, ResizeRecord};
use baton_tests::{Attach, Baton, Setup, scenario, session};
use serde_json::json;

#[test]
fn the_output_route_has_every_byte_and_the_journal_what_came_between() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let script = "stty -echo; echo begin; read line; stty size; seq 1 20000; echo end; exit 5";
        let request = CreateTerminal { cols: Some(80), rows: Some(24), ..session::shell_script(script) };
        let session = baton.create(&request).await;
        let mut client = baton.attach(session, Attach::named("A").input_stream(77)).await;
        client.until_output("begin\r\n").await;
        let lease = client.claim(false).await.unwrap();
        let body = json!({"client_id": client.id, "cols": 91, "rows": 31});
        baton.api().post_done(&format!("/v1/terminal/sessions/{session}/resize"), &body).await;
        client.input(b"go\r", lease.epoch, 1).await;
        client.until_exit().await;
        let mut expected = b"begin\r\n31 91\r\n".to_vec();
        for number in 1..=20_000 {
            expected.extend_from_slice(format!("{number}\r\n").as_bytes());
        }
        expected.extend_from_slice(b"end\r\n");
        let output = baton.output(session).await;
        assert_eq!(output.len(), expected.len());
        assert!(output == expected && client.output == expected, "the bytes are what the program wrote");
        // In small pieces it is the same, and `limit` is a bound.
        let instance = client.ready.cursor.instance;
        let mut pieces = Vec::new();
        while pieces.len() < 5000 {
            let path = format!("/v1/terminal/sessions/{session}/output?cursor={instance}:{}&limit=777", pieces.len());
            let answer = baton.api().call::<()>(http::Method::GET, &path, None).await;
            assert!(!answer.body.is_empty() && answer.body.len() <= 777, "{} bytes", answer.body.len());
            pieces.extend_from_slice(&answer.body);
        }
        assert!(expected.starts_with(&pieces));

        // The records themselves, as the worker hands them out.
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), ended).await;
        let mut peer = baton.worker_peer(session).await;
        let (mut from, mut offset, mut wall) = (0, 0, 0);
        let mut last = None;
        let (mut kinds, mut bytes) = (Vec::new(), Vec::new());
        loop {
            // What stands behind the last output comes with that: a record may be as large as a small answer by itself.
            let is_last = from + 1 == expected.len() as u64;
            let max_bytes = if is_last { 256 } else { 64 } * 1024;
            let answer = peer.request(Kind::ReadRange, &v1::ReadRange { from, max_bytes }).await.unwrap();
            assert_eq!(answer.kind(), Some(Kind::Range));
            let (range, mut records) = RangeHeader::split(&answer.payload).unwrap();
            assert_eq!(range.head, expected.len() as u64);
            while let Some(frame) = Frame::parse(records).unwrap() {
                records = &records[frame.total_bytes()..];
                let header = frame.header;
                if header.at < offset || last == Some(header) {
                    // Whole records overlap the range; this one was in the answer before.
                    continue;
                }
                last = Some(header);
                assert!(header.is_intact(frame.payload), "the checksum of the record at {}", header.at);
                assert_eq!(header.at, offset, "no gap and no overlap");
                assert_eq!(header.tag, instance.tag());
                assert!(header.wall_us >= wall, "wall time never decreases");
                wall = header.wall_us;
                let kind = header.known_kind().expect("a known record");
                match kind {
                    Kind::Output => {
                        bytes.extend_from_slice(frame.payload);
                        offset += frame.payload.len() as u64;
                    }
                    Kind::InputMark => {
                        let record: InputRecord = frame::read_body(kind, frame.payload).unwrap();
                        assert_eq!(
                            (record.client, record.stream, record.seq, record.len),
                            (client.id.clone(), 77, 1, 3)
                        );
                        assert_eq!((record.epoch, record.bytes), (lease.epoch, None), "bytes only when asked for");
                    }
                    Kind::Resize => {
                        let record: ResizeRecord = frame::read_body(kind, frame.payload).unwrap();
                        assert_eq!((record.cols, record.rows), (91, 31));
                    }
                    Kind::Exit => {
                        let record: ExitRecord = frame::read_body(kind, frame.payload).unwrap();
                        assert_eq!((record.code, record.signal, record.closed), (Some(5), None, false));
                    }
                    _ => {}
                }
                if kind != Kind::Output {
                    kinds.push(kind);
                }
            }
            if is_last {
                break;
            }
            assert!(range.next > from, "it goes on");
            from = range.next.min(range.head - 1);
        }
        assert!(bytes == expected, "the records' bytes are the output");
        let index =
            |kind| kinds.iter().position(|known| *known == kind).unwrap_or_else(|| panic!("no {kind:?} in {kinds:?}"));
        assert!(index(Kind::Lease) < index(Kind::Resize) && index(Kind::Resize) < index(Kind::InputMark), "{kinds:?}");
        assert_eq!(kinds.last(), Some(&Kind::Exit), "nothing follows the exit: {kinds:?}");
    });
}

#[test]
fn an_ended_session_is_read_after_everything_was_started_anew() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.script("seq 1 5000; exit 3").await;
        let path = format!("/v1/sessions/{session}");
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let _: SessionDetail = baton.api().get_until(&path, ended).await;
        let output = baton.output(session).await;
        // sessiond may tell the end before the bridge has heard the last of the output.
        let heard = |detail: &SessionDetail| detail.session.cursor.offset == output.len() as u64;
        let before: SessionDetail = baton.api().get_until(&path, heard).await;
        let _ = baton.cli(["down"]).await.ok();
        let _ = baton.cli(["up"]).await.ok();
        let status: serde_json::Value = baton.cli(["status", "--json"]).await.json();
        let api = baton.api_at(status["url"].as_str().unwrap());
        let after: SessionDetail = api.get_until(&path, ended).await;
        assert_eq!(after.session.status, before.session.status);
        assert_eq!(after.session.exit, before.session.exit);
        assert_eq!(after.session.cursor, before.session.cursor);
        let mut client = baton_tests::StreamClient::open(&api, session, Attach::named("reader")).await.unwrap();
        assert_eq!(client.until_exit().await.code, Some(3));
        assert!(client.output == output);
    });
}
