//! Lines and requests of an agent that try to get past the policy and out of a session of profile `workspace`, over the real
//! binaries: a person says no, or says nothing, and nothing has happened. Each of them happens where it may.
//!
//! The lines are in `tests/corpus/adversarial.txt`, which says how to read them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{
    ApprovalRequest, ApprovalStatus, AwaitingApproval, Created, ExecAnswer, LeaseAnswer, Page, SessionDetail,
};
use baton_proto::ids::{ApprovalId, SessionId};
use baton_proto::spec::Profile;
use baton_tests::witness::{self, Ear, Seen};
use baton_tests::{Answer, Api, Attach, Baton, Setup, StreamClient, scenario, session};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

const CORPUS: &str = include_str!("../corpus/adversarial.txt");
const CLIENT: &str = "agent:fixer";
/// Sessions that work at once: as many as keep two processors busy.
const LANES: usize = 4;
/// Of what is asked about, every so many-th is never answered.
const SILENCE: usize = 9;
/// The folders in which each attempt has a name that is not there, and one that is.
const FOLDERS: [(&str, &str); 5] = [("g", "guarded"), ("k", "kept"), ("o", "outside"), ("r", "read"), ("h", "home")];

/// One of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    id: usize,
    category: &'static str,
    way: &'static str,
    answer: &'static str,
    text: &'static str,
}

fn attempts() -> Vec<Attempt> {
    let mut all = Vec::new();
    for (at, line) in CORPUS.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut rest = line;
        let mut word = || {
            let (word, behind) = rest.split_once(' ').unwrap_or_else(|| panic!("line {}: `{line}`", at + 1));
            rest = behind.trim_start();
            word
        };
        let (category, way, answer) = (word(), word(), word());
        assert!(["exec", "input", "frame", "spawn", "create"].contains(&way), "line {}: `{line}`", at + 1);
        assert!(["ask", "deny", "run"].contains(&answer), "line {}: `{line}`", at + 1);
        all.push(Attempt { id: at + 1, category, way, answer, text: rest });
    }
    all
}

/// What the attempts are after: files and folders of a person's, and sockets of other programs.
struct World {
    root: PathBuf,
    home: PathBuf,
    ears: BTreeMap<(usize, &'static str), Ear>,
}

impl World {
    async fn new(baton: &Baton, attempts: &[Attempt]) -> Self {
        let (root, home) = (baton.scratch().join("world"), baton.person());
        let world = Self { root, home, ears: BTreeMap::new() };
        for (_, folder) in FOLDERS {
            fs::create_dir_all(world.folder(folder)).unwrap();
        }
        for folder in ["scratch", "links/deep"] {
            fs::create_dir_all(world.project().join(folder)).unwrap();
        }
        fs::write(world.project().join("README"), "a project\n").unwrap();
        std::os::unix::fs::symlink("../guarded", world.project().join("links/known")).unwrap();
        // Leads nowhere from where it is, and elsewhere from another place.
        for link in ["inner", "copied"] {
            std::os::unix::fs::symlink("../guarded", world.project().join("links/deep").join(link)).unwrap();
        }
        for attempt in attempts {
            if attempt.text.contains("d{id}") {
                // Nothing is where it leads, until somebody writes to it.
                let to = format!("../guarded/m{}", attempt.id);
                std::os::unix::fs::symlink(to, world.project().join(format!("links/d{}", attempt.id))).unwrap();
            }
            for (letter, folder) in FOLDERS {
                fs::write(world.folder(folder).join(format!("{letter}v{}", attempt.id)), "was\n").unwrap();
            }
        }
        let mut ears = BTreeMap::new();
        for attempt in attempts {
            let name = format!("baton-test-{}-{}", std::process::id(), attempt.id);
            for (word, placeholder) in
                [("tcp", "{tcp}"), ("udp", "{udp}"), ("unix", "{unix}"), ("abstract", "{abstract}")]
            {
                if !attempt.text.contains(placeholder) {
                    continue;
                }
                let ear = match word {
                    "tcp" => Ear::tcp().await,
                    "udp" => Ear::udp().await,
                    "unix" => Ear::unix(&world.root.join(format!("s{}", attempt.id))),
                    _ => Ear::of_abstract_name(&name),
                };
                ears.insert((attempt.id, word), ear);
            }
        }
        Self { ears, ..world }
    }

    fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// One of [`FOLDERS`].
    fn folder(&self, name: &str) -> PathBuf {
        match name {
            "guarded" | "kept" => self.project().join(name),
            "home" => self.home.clone(),
            _ => self.root.join(name),
        }
    }

    /// Asked about, denied, and everything typed asked about.
    fn policy(&self) -> String {
        let rule = |id: &str, decision: &str| {
            let folder = self.folder(id);
            format!(
                "[[rule]]\nid = \"{id}\"\ndecision = \"{decision}\"\nrisk = \"high\"\nreason = \"is not an agent's\"\n\
                 action = [\"terminal.exec\", \"process.spawn\", \"file.write\", \"file.overwrite\", \"file.delete\"]\n\
                 match = {{ path = [\"{0}\", \"{0}/**\"] }}\n\n",
                folder.display()
            )
        };
        let typed = "[[rule]]\nid = \"typed\"\naction = \"terminal.input\"\ndecision = \"ask\"\nrisk = \"high\"\nreason = \"types\"\n";
        format!("{}{}{typed}", rule("guarded", "ask"), rule("kept", "deny"))
    }

    /// An attempt's text with the names of its own.
    fn filled(&self, attempt: &Attempt) -> String {
        let id = attempt.id;
        let mut text = attempt.text.replace('␤', "\n");
        for (letter, folder) in FOLDERS {
            let place = match letter {
                "g" | "k" => PathBuf::from(folder),
                _ => self.folder(folder),
            };
            text = text.replace(&format!("{{{letter}}}"), &format!("{}/m{id}", place.display()));
            text = text.replace(&format!("{{{letter}v}}"), &format!("{}/{letter}v{id}", place.display()));
        }
        for ((of, word), ear) in &self.ears {
            if *of == id {
                text = text.replace(&format!("{{{word}}}"), &ear.address);
            }
        }
        let whole = |path: &Path| path.to_str().unwrap().to_owned();
        text = text.replace("{G}", &whole(&self.folder("guarded").join(format!("m{id}"))));
        text = text.replace("{O}", &whole(&self.folder("outside"))).replace("{HOME}", &whole(&self.home));
        text.replace("{id}", &id.to_string())
    }

    /// Everything that the attempts are after, but for what an agent may do in its own part of the project.
    fn witnessed(&self) -> BTreeMap<PathBuf, Seen> {
        let mut all = witness::tree(&self.root, &[self.project().join("scratch")]);
        all.extend(witness::tree(&self.home, &[]));
        all
    }

    /// Whether an attempt has had an effect: one of its own names is not as it was, or one of its sockets has heard of it.
    async fn has_happened(&self, attempt: &Attempt, before: &BTreeMap<PathBuf, Seen>) -> bool {
        let id = attempt.id;
        for (letter, folder) in FOLDERS {
            for name in [format!("m{id}"), format!("{letter}v{id}")] {
                let path = self.folder(folder).join(name);
                if witness::seen(&path).as_ref() != before.get(&path) {
                    return true;
                }
            }
        }
        for ((_, _), ear) in self.ears.iter().filter(|((of, _), _)| *of == id) {
            if ear.strangers().await > 0 {
                return true;
            }
        }
        false
    }
}

/// The agent that attempts, and what it was answered.
struct Agent<'a> {
    world: &'a World,
    api: Api,
    person: Api,
    /// What nobody will decide about.
    silent: Mutex<Vec<ApprovalId>>,
    wrong: Mutex<Vec<String>>,
}

impl Agent<'_> {
    fn grants(&self) -> Value {
        let project = self.world.project();
        json!([
            {"root_path": project, "allow_write": true, "allow_create": true, "allow_delete": true},
            {"root_path": self.world.folder("read"), "allow_write": false, "allow_create": false, "allow_delete": false},
        ])
    }

    /// A shell of the agent's, confined, with the lease.
    async fn shell(&self) -> SessionId {
        let mut request = serde_json::to_value(session::bash()).unwrap();
        request["cwd"] = json!(self.world.project());
        request["grants"] = self.grants();
        let made: Created = self.api.post("/v1/terminal/sessions", &request).await;
        let claim = format!("/v1/terminal/sessions/{}/claim", made.session_id);
        let _: LeaseAnswer = self.api.post(&claim, &json!({"client_id": CLIENT})).await;
        let detail: SessionDetail = self.api.get(&format!("/v1/sessions/{}", made.session_id)).await;
        assert_eq!(detail.session.sandbox.profile, Profile::Workspace);
        made.session_id
    }

    /// Makes all of these attempts, one after the other.
    async fn attempt(&self, attempts: &[&Attempt]) {
        let mut shell = self.shell().await;
        let mut stream = None;
        for attempt in attempts {
            let text = self.world.filled(attempt);
            let at = |verb: &str| format!("/v1/terminal/sessions/{shell}/{verb}");
            let answer = match attempt.way {
                "exec" => {
                    let body = json!({"client_id": CLIENT, "command": text, "timeout_s": 20});
                    self.api.call(Method::POST, &at("exec"), Some(&body)).await
                }
                "input" => {
                    let body = json!({"client_id": CLIENT, "text": format!("{text}\r")});
                    self.api.call(Method::POST, &at("input"), Some(&body)).await
                }
                "frame" => {
                    if stream.is_none() {
                        let attach = Attach::named("fixer").client(&CLIENT.parse().unwrap());
                        stream = Some((StreamClient::open(&self.api, shell, attach).await.unwrap(), 0));
                    }
                    let (stream, seq) = stream.as_mut().unwrap();
                    *seq += 1;
                    stream.input(format!("{text}\r").as_bytes(), stream.ready.epoch, *seq).await;
                    let told = stream.until_error().await;
                    if told.code != ErrorCode::ApprovalRequired {
                        self.is_wrong(attempt, &told.message);
                    }
                    self.answer(attempt, self.newest().await).await;
                    continue;
                }
                _ => {
                    let request: Value = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{attempt:?}: {err}"));
                    let mut body = if attempt.way == "create" {
                        request
                    } else {
                        json!({"sandbox": "workspace", "grants": self.grants(), "command": request})
                    };
                    body["cwd"] = json!(self.world.project());
                    self.api.call(Method::POST, "/v1/terminal/sessions", Some(&body)).await
                }
            };
            if self.judge(attempt, &answer).await && attempt.way == "exec" {
                // Whatever it left in the shell is not there for the next one.
                let close = json!({"reason": "the next one"});
                let _ = self.person.call(Method::POST, &at("close"), Some(&close)).await;
                shell = self.shell().await;
            }
        }
    }

    /// The newest approval that waits.
    async fn newest(&self) -> ApprovalId {
        let page: Page<ApprovalRequest> = self.api.get("/v1/approvals?status=pending&limit=1").await;
        page.items[0].id
    }

    fn is_wrong(&self, attempt: &Attempt, what: &str) {
        self.wrong.lock().unwrap().push(format!("{attempt:?}: {what}"));
    }

    /// Holds an answer against what is expected; whether the attempt has run.
    async fn judge(&self, attempt: &Attempt, answer: &Answer) -> bool {
        let said = match answer.status {
            202 => "ask",
            403 if answer.problem().code == ErrorCode::Denied => "deny",
            200 | 201 => "run",
            _ => "no answer to it",
        };
        if said != attempt.answer {
            self.is_wrong(attempt, &format!("{said}: {answer}"));
        }
        match answer.status {
            202 => self.answer(attempt, answer.json::<AwaitingApproval>().approval_id).await,
            200 => {
                // A line that does not come to its end has not been tried.
                let ran: ExecAnswer = answer.json();
                if ran.timed_out {
                    self.is_wrong(attempt, "it did not come to its end");
                }
            }
            201 => {
                let made: Created = answer.json();
                let ended = |detail: &SessionDetail| detail.session.exit.is_some();
                let _: SessionDetail = self.api.get_until(&format!("/v1/sessions/{}", made.session_id), ended).await;
            }
            _ => {}
        }
        matches!(answer.status, 200 | 201)
    }

    /// A person's no, or nobody's.
    async fn answer(&self, attempt: &Attempt, id: ApprovalId) {
        if attempt.id.is_multiple_of(SILENCE) {
            self.silent.lock().unwrap().push(id);
            return;
        }
        let path = format!("/v1/approvals/{id}");
        let asked: ApprovalRequest = self.person.get(&path).await;
        let no = json!({"decision": "deny", "context_hash": asked.context_hash});
        let denied = self.person.call(Method::POST, &format!("{path}/decision"), Some(&no)).await;
        if denied.status != 200 {
            self.is_wrong(attempt, &format!("the no was not taken: {denied}"));
        }
    }
}

/// Does it as a person, in a session that nothing confines, and waits for its effect.
async fn control(baton: &Baton, world: &World, attempt: &Attempt, before: &BTreeMap<PathBuf, Seen>) -> Option<String> {
    let person = baton.api();
    let text = world.filled(attempt);
    let body = match attempt.way {
        "exec" | "input" | "frame" => serde_json::to_value(session::bash()).unwrap(),
        "spawn" => json!({"command": serde_json::from_str::<Value>(&text).unwrap()}),
        _ => {
            let mut request: Value = serde_json::from_str(&text).unwrap();
            request.as_object_mut().unwrap().remove("grants");
            request
        }
    };
    let mut body = body;
    (body["cwd"], body["sandbox"]) = (json!(world.project()), json!("host"));
    let made: Created = person.post("/v1/terminal/sessions", &body).await;
    let at = |verb: &str| format!("/v1/terminal/sessions/{}/{verb}", made.session_id);
    let mut told = String::new();
    if matches!(attempt.way, "exec" | "input" | "frame") {
        let client = session::client_id();
        let _: LeaseAnswer = person.post(&at("claim"), &json!({"client_id": client})).await;
        let run = json!({"client_id": client, "command": text, "timeout_s": 10});
        told = person.call(Method::POST, &at("exec"), Some(&run)).await.to_string();
    }
    let looked = async {
        while !world.has_happened(attempt, before).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let happens = tokio::time::timeout(Duration::from_secs(10), looked).await.is_ok();
    // One that has ended by itself is as good.
    let _ = person.call(Method::POST, &at("close"), Some(&json!({"reason": "done"}))).await;
    (!happens).then(|| format!("{attempt:?}: no effect where it may have one: {told}"))
}

#[test]
fn what_an_agent_tries_has_no_effect_and_would_have_one() {
    let setup = Setup::plain()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("BATON_SERVER__RATE_LIMIT", "100000")
        .env("BATON_APPROVAL__TTL_S", "20");
    scenario(Duration::from_secs(300), setup, async |baton: &Baton| {
        let attempts = attempts();
        let world = World::new(baton, &attempts).await;
        let policy = format!("{}{}", world.policy(), session::folders_rule(baton.scratch()));
        fs::write(baton.home.policy_file(), policy).unwrap();
        // Read at the start.
        baton.kill_bridge().await;
        let token: Value =
            baton.api().post("/v1/auth/tokens", &json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let api = baton.nobody().with_token(token["token"].as_str().unwrap());
        let (silent, wrong) = (Mutex::default(), Mutex::default());
        let agent = Agent { world: &world, api, person: baton.api(), silent, wrong };
        let before = world.witnessed();
        // What is typed has a lane of its own: of what waits there the newest is the one just typed.
        let is_typed = |attempt: &&Attempt| matches!(attempt.way, "input" | "frame");
        let typed: Vec<&Attempt> = attempts.iter().filter(is_typed).collect();
        agent.attempt(&typed).await;
        let others: Vec<&Attempt> = attempts.iter().filter(|attempt| !is_typed(attempt)).collect();
        join_all(others.chunks(others.len().div_ceil(LANES)).map(|lane| agent.attempt(lane))).await;
        let silent = std::mem::take(&mut *agent.silent.lock().unwrap());
        for id in silent {
            let end: ApprovalRequest = agent.api.get(&format!("/v1/approvals/{id}?wait_s=60")).await;
            assert_eq!(end.status, ApprovalStatus::Expired, "{end:?}");
        }
        let after = world.witnessed();
        let mut wrong = std::mem::take(&mut *agent.wrong.lock().unwrap());
        wrong.extend(witness::changed(&before, &after).iter().map(|path| format!("{} has changed", path.display())));
        for ((id, word), ear) in &world.ears {
            if ear.strangers().await > 0 {
                wrong.push(format!("line {id}: its {word} socket was spoken to"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Every one of them, where it may.
        let lanes = attempts.chunks(attempts.len().div_ceil(LANES)).map(async |lane| {
            let mut harmless = Vec::new();
            for attempt in lane {
                harmless.extend(control(baton, &world, attempt, &before).await);
            }
            harmless
        });
        let harmless = join_all(lanes).await.concat();
        assert!(harmless.is_empty(), "{}", harmless.join("\n"));
        let mut counts = BTreeMap::<&str, usize>::new();
        for attempt in &attempts {
            *counts.entry(attempt.category).or_default() += 1;
        }
        println!("{} attempts: {counts:?}", attempts.len());
        assert!(attempts.len() >= 100);
    });
}

/// A rule about `~`, or about what is outside of the grants, is about the session's own HOME and grants, whatever the bridge's are.
#[test]
fn what_a_word_means_is_what_it_means_in_the_session() {
    let setup = Setup::plain().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        fs::write(baton.home.policy_file(), session::folders_rule(baton.scratch())).unwrap();
        baton.kill_bridge().await;
        let token: Value =
            baton.api().post("/v1/auth/tokens", &json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let agent = baton.nobody().with_token(token["token"].as_str().unwrap());
        let project = baton.scratch().join("project");
        fs::create_dir_all(project.join("bin")).unwrap();
        let mut request = serde_json::to_value(session::bash()).unwrap();
        request["cwd"] = json!(project);
        request["env"]["PATH"] = json!(format!("{}:/usr/bin:/bin", project.join("bin").display()));
        let made: Created = agent.post("/v1/terminal/sessions", &request).await;
        let at = |verb: &str| format!("/v1/terminal/sessions/{}/{verb}", made.session_id);
        let _: LeaseAnswer = agent.post(&at("claim"), &json!({"client_id": CLIENT})).await;
        let answer = async |line: &str| {
            let body = json!({"client_id": CLIENT, "command": line, "timeout_s": 20});
            agent.call(Method::POST, &at("exec"), Some(&body)).await.status
        };
        for again in [false, true] {
            let key = baton.person().join(".ssh/id");
            for (line, status) in [
                ("cat ~/.ssh/id", 403),
                ("cat \"$HOME/.ssh/id\"", 403),
                (&format!("cat {}", key.display()), 403),
                ("rm /srv/none", 202),
                ("echo x > /srv/none", 202),
                ("touch ~/mine && rm ~/mine", 200),
                ("touch mine && rm mine", 200),
            ] {
                assert_eq!(answer(line).await, status, "{line}, after another start: {again}");
            }
            // Also for the next bridge.
            baton.kill_bridge().await;
        }
        assert_eq!(answer("date").await, 200);
        fs::write(project.join("bin/date"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(project.join("bin/date"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(answer("date").await, 202, "another program stands before the system's in this session's PATH");
    });
}
