//! `baton sandbox explain`: what a session may do with a path, said by the command line, and done by the session.
//!
//! Needs a kernel with Landlock's sixth interface and user namespaces (Linux 6.12).

use std::fs;
use std::time::Duration;

use baton_proto::api::{CreateTerminal, Decides, Explained, FolderGrant};
use baton_proto::spec::Profile;
use baton_tests::{Attach, Baton, Setup, scenario, session};

#[test]
fn what_is_explained_is_what_a_session_may_do() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        fs::create_dir_all(baton.person().join(".ssh")).unwrap();
        fs::write(baton.person().join(".ssh/key"), "secret").unwrap();
        fs::write(project.join("file"), "mine").unwrap();
        let project_text = project.to_str().unwrap().to_owned();
        // One that would be started.
        let grant = format!("{project_text}:rwc");
        let args = ["sandbox", "explain", "--cwd", &project_text, "--grant", &grant, "--json", "file"];
        let explained: Explained = serde_json::from_str(&baton.cli(args).await.ok()).unwrap();
        assert_eq!(explained.resolved.as_deref(), project.canonicalize().unwrap().join("file").to_str());
        assert!(explained.read.allowed && explained.write.allowed && explained.create.allowed);
        assert_eq!((explained.delete.allowed, explained.delete.by), (false, Decides::Grant));
        let args = ["sandbox", "explain", "--cwd", &project_text, "../.ssh/key"];
        let told = baton.cli(args).await.ok();
        assert!(told.contains("read    no   it is a secret"), "{told}");
        // A place of secrets in which there is none yet, and one in a grant.
        let args = ["sandbox", "explain", "--cwd", &project_text, "../.aws/credentials"];
        let told = baton.cli(args).await.ok();
        let why = "nothing is there; it is a usual place of secrets: no confined session is shown what is put there";
        assert!(told.contains(why), "{told}");
        let person = baton.person().to_str().unwrap().to_owned();
        let args = ["sandbox", "explain", "--cwd", &person, "--grant", &person, ".netrc"];
        let told = baton.cli(args).await.ok();
        assert!(told.contains("usual place of secrets") && told.contains("not from one that runs then"), "{told}");
        // What is merely not there is merely not there.
        let args = ["sandbox", "explain", "--cwd", &project_text, "nothing"];
        let told = baton.cli(args).await.ok();
        assert!(told.contains("nothing is there") && !told.contains("secrets"), "{told}");
        // One that would not.
        let ssh = baton.person().join(".ssh");
        let args = ["sandbox", "explain", "--cwd", &project_text, "--grant", ssh.to_str().unwrap(), "file"];
        let refused = baton.cli(args).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("secrets, which no confined session reads"), "{refused:?}");
        // One that runs: by its name, with its own files, from where it is now.
        let id = baton
            .create(&CreateTerminal {
                sandbox: Some(Profile::Workspace),
                title: Some("inside".to_owned()),
                cwd: Some(project_text.clone()),
                grants: Some(vec![FolderGrant {
                    root_path: project_text.clone(),
                    allow_write: true,
                    allow_create: true,
                    allow_delete: true,
                    ..FolderGrant::default()
                }]),
                ..session::bash()
            })
            .await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("echo own > ~/note; rm file && echo gone-$((1+1))\r").await;
        client.until_output("gone-2").await;
        let note = baton.person().join("note");
        for (path, readable) in [(note.to_str().unwrap(), true), ("file", false), ("/etc/hostname", true)] {
            let args = ["sandbox", "explain", "--session", "inside", "--json", path];
            let explained: Explained = serde_json::from_str(&baton.cli(args).await.ok()).unwrap();
            assert_eq!(explained.read.allowed, readable, "{explained:?}");
        }
    });
}
