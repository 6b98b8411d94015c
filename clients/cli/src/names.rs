//! Which session is meant: its name, its id, or enough of its id.

use baton_proto::api::{Client, Session};

use crate::api::Api;
use crate::report::{Exit, Report, clean_line};

/// Fewest digits of an id that are taken as such.
const DIGITS_MIN: usize = 4;

/// Digits of the short form of an id. They are its last: the first ones are the time and alike for neighbours.
const SHORT_DIGITS: usize = 8;

/// What a name is looked up in.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    id: &'a str,
    title: &'a str,
    living: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    One(usize),
    Nothing,
    Several(Vec<usize>),
}

/// The short form of an id.
pub fn short(id: &str) -> &str {
    id.len().checked_sub(SHORT_DIGITS).and_then(|at| id.get(at..)).unwrap_or(id)
}

/// What to call a session: its name, or the short id if it has none.
pub fn label(session: &Session) -> String {
    if session.title.is_empty() { short(&session.id.to_string()).to_owned() } else { clean_line(&session.title) }
}

/// A whole id beats a title, a living session's title beats an ended one's, titles beat parts of ids.
fn find(candidates: &[Candidate<'_>], wanted: &str) -> Found {
    let digits = wanted.strip_prefix("ses_").unwrap_or(wanted).to_ascii_lowercase();
    let hexadecimal = digits.len() >= DIGITS_MIN && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let part_of = |id: &str| {
        let id = id.strip_prefix("ses_").unwrap_or(id);
        hexadecimal && (id.starts_with(&digits) || id.ends_with(&digits))
    };
    let tests: [&dyn Fn(&Candidate<'_>) -> bool; 5] = [
        &|one| one.id == wanted,
        &|one| one.living && one.title == wanted,
        &|one| one.title == wanted,
        &|one| one.living && part_of(one.id),
        &|one| part_of(one.id),
    ];
    for test in tests {
        let hits: Vec<usize> = (0..candidates.len()).filter(|&at| test(&candidates[at])).collect();
        match hits.as_slice() {
            [] => {}
            [one] => return Found::One(*one),
            _ => return Found::Several(hits),
        }
    }
    Found::Nothing
}

/// The session that `wanted` names.
///
/// # Errors
/// Exit code 3 when there is none, 2 when there are several; these are listed.
pub async fn session(api: &Api, wanted: &str) -> Result<Session, Report> {
    let mut sessions = api.sessions().await?;
    let ids: Vec<String> = sessions.iter().map(|one| one.id.to_string()).collect();
    let candidates: Vec<Candidate<'_>> = sessions
        .iter()
        .zip(&ids)
        .map(|(one, id)| Candidate { id, title: &one.title, living: one.status.is_living() })
        .collect();
    match find(&candidates, wanted) {
        Found::One(at) => Ok(sessions.swap_remove(at)),
        Found::Nothing => Err(Report::new(Exit::NotFound, format!("no session is called `{}`", clean_line(wanted)))
            .hint("`baton ls` lists the living ones, `baton ls --all` the ended ones too")),
        Found::Several(hits) => {
            let list: Vec<String> = hits.iter().map(|&at| format!("{}  {}", ids[at], label(&sessions[at]))).collect();
            Err(Report::usage(format!("`{}` may be any of {} sessions", clean_line(wanted), hits.len()))
                .why(list.join("\n"))
                .hint("give more of the id; its last digits tell sessions apart best"))
        }
    }
}

/// The session that is meant when nobody says which: the only living one, or the one with the latest activity.
pub async fn session_or_latest(api: &Api, wanted: Option<&str>) -> Result<Session, Report> {
    if let Some(wanted) = wanted {
        return session(api, wanted).await;
    }
    let living = api.sessions().await?.into_iter().filter(|one| one.status.is_living());
    living
        .max_by(|a, b| (&a.last_activity_at, &a.created_at).cmp(&(&b.last_activity_at, &b.created_at)))
        .ok_or_else(|| Report::new(Exit::NotFound, "no session is running").hint("make one with `baton new`"))
}

/// The attached client that `wanted` names: its id, the beginning of its id, or its name.
pub fn client<'a>(clients: &'a [Client], wanted: &str) -> Result<&'a Client, Report> {
    let listed = |clients: &mut dyn Iterator<Item = &Client>| {
        clients.map(|one| format!("{}  {}", one.client_id, clean_line(&one.name))).collect::<Vec<_>>().join("\n")
    };
    if let Some(exact) = clients.iter().find(|one| one.client_id.as_str() == wanted) {
        return Ok(exact);
    }
    let fits = |one: &&Client| {
        one.name == wanted || (wanted.len() >= DIGITS_MIN && one.client_id.as_str().starts_with(wanted))
    };
    let mut hits = clients.iter().filter(fits);
    match (hits.next(), hits.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let report = Report::new(Exit::NotFound, format!("no attached client is called `{}`", clean_line(wanted)));
            Err(if clients.is_empty() {
                report.why("nobody is attached")
            } else {
                report.why(format!("attached are:\n{}", listed(&mut clients.iter())))
            })
        }
        _ => Err(Report::usage(format!("`{}` may be any of several clients", clean_line(wanted)))
            .why(listed(&mut clients.iter().filter(fits)))
            .hint("give the client's id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &str, expected: Found) {
        let candidates = [
            Candidate { id: "ses_0192aaaa00007000800000000000abcd", title: "work", living: true },
            Candidate { id: "ses_0192aaaa00007000800000000000beef", title: "work", living: false },
            Candidate { id: "ses_0192bbbb000070008000000000001234", title: "beef", living: true },
            Candidate { id: "ses_0192cccc000070008000000000001234", title: "old", living: false },
            Candidate { id: "ses_0192dddd000070008000000000005678", title: "twin", living: false },
            Candidate { id: "ses_0192eeee000070008000000000009abc", title: "twin", living: false },
        ];
        assert_eq!(find(&candidates, wanted), expected, "{wanted}");
    }

    #[test]
    fn a_session_is_found_by_what_people_type() {
        check("ses_0192aaaa00007000800000000000beef", Found::One(1));
        check("work", Found::One(0));
        check("old", Found::One(3));
        // A title that looks like the end of another id is still a title.
        check("beef", Found::One(2));
        check("abcd", Found::One(0));
        check("ABCD", Found::One(0));
        check("ses_0192bbbb", Found::One(2));
        check("0192bbbb", Found::One(2));
        // Living before ended.
        check("1234", Found::One(2));
        check("twin", Found::Several(vec![4, 5]));
        check("0192", Found::Several(vec![0, 2]));
        check("wor", Found::Nothing);
        check("cd", Found::Nothing);
        check("", Found::Nothing);
    }

    #[test]
    fn the_short_id_is_its_end() {
        assert_eq!(short("ses_0192aaaa00007000800000000000abcd"), "0000abcd");
        assert_eq!(short("x"), "x");
    }
}
