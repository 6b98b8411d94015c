//! What is typed arrives whole, once, and never stops anything else.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ServerFrame, SessionDetail};
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Incoming, Seed, Setup, StreamClient, scenario};
use serde_json::json;

const MIB: usize = 1024 * 1024;
const CHUNK: usize = 32 * 1024;

/// Pastes as a client must: frames with rising `seq`; what is refused as `input_full` is sent again once the program has
/// taken what was accepted. Returns how often it was refused.
async fn paste(client: &mut StreamClient, bytes: &[u8]) -> u32 {
    let chunks: Vec<&[u8]> = bytes.chunks(CHUNK).collect();
    let epoch = client.epoch;
    let (mut next, mut acked, mut refused) = (0, 0, 0);
    while acked < chunks.len() {
        while next < chunks.len() {
            next += 1;
            client.input(chunks[next - 1], epoch, next as u64).await;
        }
        let told = client
            .until("an answer to the paste", |incoming| match incoming {
                Incoming::Frame(ServerFrame::InputAck { seq }) => Some(Ok(*seq)),
                Incoming::Frame(ServerFrame::Error { code: ErrorCode::InputFull, accepted, .. }) => {
                    Some(Err(*accepted))
                }
                Incoming::Frame(ServerFrame::Error { code, message, .. }) => panic!("`{code}`: {message}"),
                _ => None,
            })
            .await;
        match told {
            Ok(seq) => acked = usize::try_from(seq).unwrap(),
            Err(accepted) => {
                refused += 1;
                // The frames behind the refused one were refused too. Once what was accepted is typed, go on from there.
                let accepted = accepted.expect("`accepted` says where to go on");
                while (acked as u64) < accepted {
                    acked = client
                        .until("the acknowledgement of what was accepted", |incoming| match incoming {
                            Incoming::Frame(ServerFrame::InputAck { seq }) => Some(usize::try_from(*seq).unwrap()),
                            _ => None,
                        })
                        .await;
                }
                next = acked;
            }
        }
    }
    refused
}

#[test]
fn a_mebibyte_pasted_into_cat_arrives_whole() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        // Raw: any byte there is comes back as it went, but for those that begin a question to the terminal: it is answered,
        // and the answer comes back too.
        let session = baton.script("stty raw -echo; echo ready; exec cat").await;
        for attach in [Attach::named("json").input_stream(1), Attach::named("binary").input_stream(2).binary()] {
            let mut client = baton.attach(session, attach).await;
            client.until_output("ready\n").await;
            client.until_offset(client.ready.cursor.offset).await;
            client.claim(false).await.unwrap();
            let mut pasted = seed.bytes(MIB);
            pasted.iter_mut().filter(|byte| matches!(byte, 0x1b | 0xc2)).for_each(|byte| *byte = b'.');
            let begin = client.output.len();
            let refused = paste(&mut client, &pasted).await;
            client.until_offset((begin + MIB) as u64).await;
            assert!(client.output[begin..] == pasted, "what came back is not what was pasted");
            println!("raw: refused {refused} times");
            client.send(baton_proto::api::ClientFrame::Detach).await;
            client.until_closed().await;
        }
        // Cooked: lines shorter than the kernel's 4096.
        let session = baton.script("stty -echo; echo ready; exec cat").await;
        let mut client = baton.attach(session, Attach::named("cooked").binary().input_stream(3)).await;
        client.until_output("ready\r\n").await;
        client.claim(false).await.unwrap();
        let mut pasted = String::new();
        while pasted.len() < MIB {
            let line = pasted.len();
            let len = usize::try_from(seed.within(0..3900)).unwrap();
            pasted.push_str(&format!("{line:08}{}\n", "x".repeat(len)));
        }
        let expected = pasted.replace('\n', "\r\n");
        let begin = client.output.len();
        let refused = paste(&mut client, pasted.as_bytes()).await;
        client.until_offset((begin + expected.len()) as u64).await;
        assert!(client.output[begin..] == *expected.as_bytes(), "what came back is not what was pasted");
        println!("cooked: refused {refused} times");
    });
}

#[test]
fn a_program_that_does_not_read_is_told_of_and_stops_nobody() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut client = baton.attach(session, Attach::named("paster").input_stream(1)).await;
        client.until_output("$ ").await;
        client.claim(false).await.unwrap();
        // Raw, so that nothing of the paste is echoed or means anything while nobody reads.
        client.input(b"stty -echo; echo deaf-$((1+1)); sleep 1000; echo heard-$((2+2))\r", client.epoch, 1).await;
        client.until_output("deaf-2").await;
        // Comments for the shell that will read them one day. 64 MiB is more than anything may hold for it.
        let chunk = format!("#{}\r", "c".repeat(1022)).repeat(CHUNK / 1024);
        let (mut seq, mut full) = (1, None);
        while full.is_none() && seq < 2048 {
            seq += 1;
            client.input(chunk.as_bytes(), client.epoch, seq).await;
            // What has been said so far, without waiting for more.
            while let Ok(incoming) = tokio::time::timeout(Duration::from_millis(1), client.next()).await {
                if let Incoming::Frame(ServerFrame::Error { code, seq, accepted, .. }) = incoming {
                    assert_eq!(code, ErrorCode::InputFull);
                    full.get_or_insert((seq.unwrap(), accepted.unwrap()));
                }
            }
        }
        let (refused, accepted) = full.expect("a queue that is full is told of, and has a bound");
        assert!(accepted < refused, "{accepted} accepted, {refused} refused");
        println!("refused at {} KiB", refused * 32);
        // The session answers, and so does everybody else's.
        let detail: SessionDetail = baton.session(session).await;
        assert!(detail.foreground.is_some_and(|foreground| foreground.command.contains("sleep")));
        let mut other = baton.attach(session, Attach::named("other")).await;
        other.until_output("deaf-2").await;
        // Ctrl-C: the signal goes to the foreground, past what is queued; then the shell reads all that was accepted.
        let body = json!({"client_id": client.id, "signal": "INT"});
        baton.api().post_done(&format!("/v1/terminal/sessions/{session}/signal"), &body).await;
        client.until_acked(accepted).await;
        client.input(b"stty echo; echo alive-$((3+3))\r", client.epoch, refused).await;
        client.until_output("alive-6").await;
        other.until_output("alive-6").await;
        assert!(!String::from_utf8_lossy(&client.output).contains("heard-4"), "the interrupt ended the whole line");
    });
}

#[test]
fn nothing_is_typed_twice() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.script("stty -echo; echo ready; exec cat").await;
        let mut seed = Seed::from_env();
        let stream = seed.number() >> 12;
        let attach = Attach::named("typist").input_stream(stream);
        let mut client = baton.attach(session, attach.clone()).await;
        let id = client.id.clone();
        client.until_output("ready\r\n").await;
        assert_eq!(client.ready.input_seq, 0);
        let epoch = client.claim(false).await.unwrap().epoch;
        client.input(b"one\n", epoch, 1).await;
        client.until_acked(1).await;
        // A repeat is acknowledged and not typed.
        client.input(b"one\n", epoch, 1).await;
        client.until_acked(1).await;
        client.input(b"two\n", epoch, 2).await;
        client.until_acked(2).await;
        client.until_output("two\r\n").await;
        // A client that does not know what became of its last frames sends them again.
        for (round, sent) in [(1u64, b"three\n".as_slice()), (2, b"four\n"), (3, b"five\n")] {
            client.input(sent, epoch, 2 + round).await;
            match round {
                1 => baton.kill_bridge().await,
                2 => baton.kill_sessiond().await,
                _ => {
                    client.until_acked(5).await;
                    let worker =
                        baton_tests::process::Process::of(baton.session(session).await.session.worker_pid.unwrap());
                    worker.kill().await;
                    let succeeded =
                        |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker.pid);
                    let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), succeeded).await;
                }
            }
            client.drop_socket();
            client = baton.attach(session, attach.clone().client(&id)).await;
            assert_eq!(client.ready.epoch, epoch, "the lease is as before");
            assert!(client.ready.input_seq > round, "at least what was acknowledged: {}", client.ready.input_seq);
            assert!(client.ready.input_seq <= 2 + round);
            client.input(sent, epoch, 2 + round).await;
            client.until_acked(2 + round).await;
        }
        client.input(b"six\n", epoch, 6).await;
        client.until_output("six\r\n").await;
        assert_eq!(String::from_utf8_lossy(&client.output), "ready\r\none\r\ntwo\r\nthree\r\nfour\r\nfive\r\nsix\r\n");
        // Another stream of the same client counts for itself.
        drop(client);
        let mut fresh = baton.attach(session, Attach::named("typist").client(&id).input_stream(stream + 1)).await;
        assert_eq!(fresh.ready.input_seq, 0);
        fresh.input(b"seven\n", epoch, 1).await;
        fresh.until_output("seven\r\n").await;
    });
}

#[test]
fn a_password_is_never_journalled_and_input_only_when_asked_for() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let request = baton_proto::api::CreateTerminal {
            record_input: Some(true),
            ..baton_tests::session::shell_script(
                "read plain; stty -echo; echo password:; read secret; stty echo; echo thanks",
            )
        };
        let session = baton.create(&request).await;
        let mut client = baton.attach(session, Attach::named("typist").input_stream(9)).await;
        client.claim(false).await.unwrap();
        client.input(b"typed-in-the-open\r", client.epoch, 1).await;
        client.until_output("password:").await;
        client.input(b"hunter2-is-secret\r", client.epoch, 2).await;
        client.until_output("thanks").await;
        client.until_exit().await;
        let (mut journal, mut screens) = (Vec::new(), Vec::new());
        let mut directories = vec![baton.home.sessions_dir()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                } else {
                    // A file may be renamed while it is looked for (sessiond writes down that the session ended).
                    let bytes = std::fs::read(entry.path()).unwrap_or_default();
                    let kept = if entry.file_name().as_encoded_bytes().starts_with(b"kf-") {
                        &mut screens
                    } else {
                        &mut journal
                    };
                    kept.extend(bytes);
                }
            }
        }
        let count =
            |bytes: &[u8], needle: &str| bytes.windows(needle.len()).filter(|it| *it == needle.as_bytes()).count();
        assert_eq!((count(&journal, "hunter2"), count(&screens, "hunter2")), (0, 0), "a password is kept");
        assert_eq!(count(&journal, "typed-in-the-open"), 2, "once as echo, once as recorded input");
    });
}

#[test]
fn a_frame_cut_off_by_a_change_of_owner_is_never_told_to_be_accepted() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        for dropped in [false, true] {
            // Nobody reads: the terminal takes the beginning of the first frame and no more.
            let session = baton.script("stty raw -echo; echo ready; exec sleep 1000").await;
            let attach = Attach::named("typist").input_stream(7 + u64::from(dropped));
            let mut typist = baton.attach(session, attach.clone()).await;
            typist.until_output("ready").await;
            typist.claim(true).await.unwrap();
            let (id, epoch) = (typist.id.clone(), typist.epoch);
            typist.input(&[b'x'; CHUNK], epoch, 1).await;
            typist.input(b"behind it", epoch, 2).await;
            // Whatever is typed is typed by now: the frames are answered in their order.
            typist.send(baton_proto::api::ClientFrame::Heartbeat).await;
            typist.until("a pong", |it| matches!(it, Incoming::Frame(ServerFrame::Pong { .. })).then_some(())).await;
            let mut taker = baton.attach(session, Attach::named("taker")).await;
            if dropped {
                typist.drop_socket();
                let alone = |detail: &SessionDetail| detail.clients.iter().all(|client| client.name != "typist");
                let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), alone).await;
                taker.claim(true).await.unwrap();
                let mut back = baton.attach(session, attach.client(&id)).await;
                assert_eq!(back.ready.input_seq, 1, "a repeat would type the beginning twice");
                let told = back.until_error().await;
                assert_eq!((told.code, told.seq), (ErrorCode::InputUncertain, Some(1)));
                continue;
            }
            taker.claim(true).await.unwrap();
            for seq in [1, 2] {
                let refused = typist.until_error().await;
                assert_eq!((refused.code, refused.seq), (ErrorCode::LeaseLost, Some(seq)));
                assert!(
                    refused.accepted.unwrap() < seq,
                    "frame {seq} is refused and {:?} is accepted",
                    refused.accepted
                );
            }
        }
    });
}

#[test]
fn what_was_being_typed_when_a_worker_died_is_told_until_the_client_goes_on() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let gate = baton.scratch().join("gate");
        let script =
            format!("stty raw -echo; echo ready; until [ -e {} ]; do sleep 0.02; done; exec cat", gate.display());
        let session = baton.script(&script).await;
        let attach = Attach::named("typist").input_stream(7);
        let mut typist = baton.attach(session, attach.clone()).await;
        typist.until_output("ready").await;
        typist.claim(true).await.unwrap();
        let (id, epoch) = (typist.id.clone(), typist.epoch);
        // The terminal takes the beginning of it and no more.
        typist.input(&[b'x'; CHUNK], epoch, 1).await;
        typist.send(baton_proto::api::ClientFrame::Heartbeat).await;
        typist.until("a pong", |it| matches!(it, Incoming::Frame(ServerFrame::Pong { .. })).then_some(())).await;
        let attach = attach.client(&id);
        // Each connection hears of it, whoever died between: the one before may have been cut before it was heard.
        for round in 0..4 {
            if round % 2 == 0 {
                let worker = baton.session(session).await.session.worker_pid.unwrap();
                Process::of(worker).kill().await;
                let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
                let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), next).await;
            }
            let mut back = baton.attach(session, attach.clone()).await;
            assert_eq!(back.ready.input_seq, 1, "a repeat would type the beginning twice");
            let told = back.until_error().await;
            assert_eq!((told.code, told.seq), (ErrorCode::InputUncertain, Some(1)), "in round {round}");
            back.drop_socket();
        }
        std::fs::write(&gate, "").unwrap();
        let mut back = baton.attach(session, attach.clone()).await;
        back.until_error().await;
        back.claim(true).await.unwrap();
        let epoch = back.epoch;
        back.input(&[b'x'; CHUNK], epoch, 1).await;
        back.input(b"later", epoch, 2).await;
        back.until_acked(2).await;
        back.until_output("later").await;
        back.drop_socket();
        // The next frame after it says that it was heard.
        let mut back = baton.attach(session, attach).await;
        back.claim(true).await.unwrap();
        assert!(!back.story().contains("uncertain"), "{}", back.story());
    });
}
