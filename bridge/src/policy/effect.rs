//! What an action comes to: calls of programs, files, pages; each with what is certain of it and what is not.

use std::path::Path;

use super::action::{Action, ActionKind, Context};
use super::glob::Glob;
use super::placed;
use super::resolve::{Program, Resolve};
use super::shell::{Arg, COMMANDS_MAX, DEPTH_MAX, LINE_BYTES_MAX, Line, Simple, read};
use super::wrapper::{reads_terminal, unwrap};

/// Directories that a line may have changed to: more are not followed.
const DIRECTORIES_MAX: usize = 8;
/// Parts of a word that may be paths by themselves: behind more of them, there is one that may be any.
const PARTS_MAX: usize = 6;
/// Paths of a line, each counted for each directory that it may be in.
const PATHS_MAX: usize = 2048;
/// Builtins and programs that open no file that their arguments name.
const PATHLESS: [&str; 8] = ["echo", "printf", "true", "false", ":", "test", "[", "export"];
/// Builtins that nothing on the disk stands for, and that do no harm by themselves.
const BUILTINS: [&str; 20] = [
    "cd", ":", "true", "false", "echo", "printf", "test", "[", "pwd", "export", "set", "exit", "return", "break",
    "continue", "wait", "jobs", "type", "command", "builtin",
];

/// Options with a value that stand before the word that says what a program is to do.
const VALUED: [(&str, &[&str]); 3] = [
    ("git", &["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"]),
    ("cargo", &["-C", "--config", "--color", "-Z"]),
    ("make", &["-C", "-f", "-j"]),
];

/// One thing that would happen.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    /// Of what kind of action; `None` is what every rule of the action is asked about.
    pub kind: Option<ActionKind>,
    /// For people.
    pub text: String,
    /// The names of the program, if one runs.
    pub names: Vec<String>,
    /// The program as it was written, where that is certain.
    pub word: Option<String>,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// The first of them that is no option: what it is to do.
    pub verb: Option<Arg>,
    /// Absolute paths, as far as they are known.
    pub paths: Vec<Glob>,
    /// Where it may happen.
    pub cwds: Vec<String>,
    /// Lower case.
    pub scheme: Option<String>,
    /// Lower case.
    pub host: Option<String>,
    /// What a rule may ask of it by name.
    pub features: Vec<&'static str>,
    /// Whether a person has to look whatever the rules say, because it was not understood.
    pub doubt: bool,
    /// Of a repository.
    pub remote: Option<String>,
    /// Of a repository.
    pub branch: Option<String>,
    /// Of a connector's method, a tool, an element.
    pub name: Option<String>,
}

/// All effects of an action.
pub fn effects(action: &Action, context: &Context, resolve: &dyn Resolve) -> Vec<Effect> {
    let cwd = normal(&context.cwd.to_string_lossy());
    let of = |kind| Effect { kind: Some(kind), cwds: vec![cwd.clone()], ..Effect::default() };
    let file = |kind, path: &str| Effect {
        text: format!("`{path}`"),
        paths: paths(&Arg::literal(&tilde(path, context)), std::slice::from_ref(&cwd), (context, resolve), false),
        ..of(kind)
    };
    match action {
        Action::TerminalExec { command } => line(command, context, &cwd, resolve),
        Action::ProcessSpawn { argv } => spawn(argv, context, &cwd, resolve),
        Action::TerminalInput { text } => {
            vec![Effect { text: format!("{} bytes of input", text.len()), ..of(ActionKind::TerminalInput) }]
        }
        Action::BrowserNavigate { url } => vec![page(url, of(ActionKind::BrowserNavigate))],
        Action::BrowserExecuteScript { url, .. } => vec![page(url, of(ActionKind::BrowserExecuteScript))],
        Action::BrowserInput { url, element } => {
            vec![Effect { name: Some(element.to_lowercase()), ..page(url, of(ActionKind::BrowserInput)) }]
        }
        Action::FileWrite { path } => vec![file(ActionKind::FileWrite, path)],
        Action::FileDelete { path } => vec![file(ActionKind::FileDelete, path)],
        Action::FileOverwrite { path } => vec![file(ActionKind::FileOverwrite, path)],
        Action::GitCommitAndPush { path, remote, branch } => vec![Effect {
            remote: Some(remote.clone()),
            branch: Some(branch.clone()),
            ..file(ActionKind::GitCommitAndPush, path)
        }],
        Action::GitCreatePr { path, remote, branch } => vec![Effect {
            remote: Some(remote.clone()),
            branch: Some(branch.clone()),
            ..file(ActionKind::GitCreatePr, path)
        }],
        Action::ConnectorCall { connector, method } => {
            let name = format!("{connector}.{method}");
            vec![Effect { text: format!("`{name}`"), name: Some(name), ..of(ActionKind::ConnectorCall) }]
        }
        Action::SessionUnsandboxed {} => {
            vec![Effect { text: "a session that is not confined".to_owned(), ..of(ActionKind::SessionUnsandboxed) }]
        }
        Action::LeaseTake { session } => {
            vec![Effect { text: format!("session `{session}`"), ..of(ActionKind::LeaseTake) }]
        }
        Action::AgentPermission { tool, path, host } => {
            let effect = match path {
                Some(path) => file(ActionKind::AgentPermission, path),
                None => of(ActionKind::AgentPermission),
            };
            let what = path.as_ref().or(host.as_ref()).map_or_else(String::new, |what| format!(" `{what}`"));
            let (text, host) = (format!("`{tool}`{what}"), host.as_ref().map(|host| host.to_lowercase()));
            vec![Effect { text, name: Some(tool.clone()), host, ..effect }]
        }
    }
}

fn tilde(path: &str, context: &Context) -> String {
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", context.home.to_string_lossy()),
        _ => path.to_owned(),
    }
}

fn line(command: &str, context: &Context, cwd: &str, resolve: &dyn Resolve) -> Vec<Effect> {
    let mut line = Line::default();
    read(command, &context.home.to_string_lossy(), 0, &mut line);
    run(line, ActionKind::TerminalExec, context, cwd, resolve)
}

fn spawn(argv: &[String], context: &Context, cwd: &str, resolve: &dyn Resolve) -> Vec<Effect> {
    let mut line = Line::default();
    if argv.is_empty()
        || argv.iter().map(|it| it.len() + 1).sum::<usize>() > 4 * LINE_BYTES_MAX
        || argv.iter().any(|it| it.contains('\0'))
    {
        line.doubt("unparsable", "no program, or more words than can be judged");
    } else {
        line.commands.push(Simple { words: argv.iter().map(|it| Arg::literal(it)).collect(), ..Simple::default() });
    }
    run(line, ActionKind::ProcessSpawn, context, cwd, resolve)
}

fn run(line: Line, kind: ActionKind, context: &Context, cwd: &str, resolve: &dyn Resolve) -> Vec<Effect> {
    let mut cwds = vec![cwd.to_owned()];
    cwds.extend(resolve.real(cwd).filter(|it| it != cwd));
    let first = ran(&line, kind, &mut cwds, context, resolve);
    // What a loop does, it does again wherever it has gone: judged anew from all places, until there are no more.
    let (mut all, mut before) = (first, 1);
    while line.repeats && cwds.len() > before {
        before = cwds.len();
        all = ran(&line, kind, &mut cwds, context, resolve);
    }
    all
}

fn ran(line: &Line, kind: ActionKind, cwds: &mut Vec<String>, context: &Context, resolve: &dyn Resolve) -> Vec<Effect> {
    let home = context.home.to_string_lossy().into_owned();
    let line_repeats = line.repeats;
    let mut line = Line { commands: line.commands.clone(), doubts: line.doubts.clone(), ..Line::default() };
    let mut all = Vec::new();
    let mut open: Vec<(Simple, usize)> = line.commands.drain(..).rev().map(|it| (it, 0)).collect();
    let (mut count, mut count_paths) = (0, 0);
    // Names that lead nobody knows where, by the time that they are used.
    let mut made: Vec<String> = Vec::new();
    while let Some((simple, depth)) = open.pop() {
        count += 1;
        if count > COMMANDS_MAX || depth > DEPTH_MAX {
            line.doubt("too-many", format!("more than {COMMANDS_MAX} commands, or {DEPTH_MAX} in one another"));
            break;
        }
        let (here, before) = (cwds.clone(), all.len());
        for write in &simple.writes {
            all.push(Effect {
                kind: Some(ActionKind::FileWrite),
                text: format!("a redirection to {}", shown(write)),
                paths: paths(write, &here, (context, resolve), false),
                cwds: here.clone(),
                ..Effect::default()
            });
        }
        let mut call = call(&simple, kind, (context, &here, resolve), &mut line);
        let through = |paths: &[Glob]| paths.iter().any(|path| placed::is_there(path, &made));
        if through(&call.paths) || all.iter().skip(before).any(|write| through(&write.paths)) {
            line.doubt("link", format!("`{}` goes through a name that the line itself makes", call.text));
        }
        match placed::made(&call, &here, resolve) {
            Some(more) if more.is_empty() => {}
            // What stands before it in a loop or a pipeline may happen after it.
            Some(_) if line_repeats || simple.fed => line.doubt("link", "a link, in a loop or a pipeline"),
            Some(more) => made.extend(more),
            None => line.doubt("link", "where it puts a link"),
        }
        call.cwds = here;
        changes(&simple, &home, cwds, resolve, &mut line);
        count_paths += call.paths.len();
        if count_paths > PATHS_MAX {
            line.doubt("too-many", format!("more than {PATHS_MAX} paths"));
            break;
        }
        let typed_into = kind == ActionKind::ProcessSpawn && depth == 0 && reads_terminal(&call.names, &call.args);
        let mut inner = if typed_into { Vec::new() } else { unwrap(&call.names, &simple, &home, depth, &mut line) };
        inner.append(&mut line.commands);
        open.extend(inner.into_iter().rev().map(|it| (it, depth + 1)));
        if !call.text.is_empty() {
            all.push(call);
        }
    }
    all.extend(line.doubts.iter().map(|doubt| Effect {
        kind: Some(kind),
        text: doubt.why.clone(),
        cwds: cwds.clone(),
        features: vec![doubt.feature],
        doubt: true,
        ..Effect::default()
    }));
    if all.is_empty() {
        all.push(Effect { kind: Some(kind), text: "nothing".to_owned(), cwds: cwds.clone(), ..Effect::default() });
    }
    all
}

/// Where `cd` may have gone.
fn changes(simple: &Simple, home: &str, cwds: &mut Vec<String>, resolve: &dyn Resolve, line: &mut Line) {
    if simple.words.first().and_then(Arg::text).as_deref() != Some("cd") {
        return;
    }
    let target = match simple.words.get(1..).unwrap_or(&[]) {
        [] => Some(home.to_owned()),
        [one] => one.text().filter(|it| !it.starts_with('-')),
        _ => None,
    };
    let Some(target) = target else { return line.doubt("directory", "where it changes to") };
    let mut more: Vec<String> = Vec::new();
    for cwd in cwds.iter() {
        let there = Path::new(cwd).join(&target).to_string_lossy().into_owned();
        for it in [Some(normal(&there)), resolve.real(&there)].into_iter().flatten() {
            if !cwds.contains(&it) && !more.contains(&it) {
                more.push(it);
            }
        }
    }
    if cwds.len() + more.len() > DIRECTORIES_MAX {
        return line.doubt("directory", format!("it may be in more than {DIRECTORIES_MAX} places"));
    }
    cwds.extend(more);
}

type World<'a> = (&'a Context, &'a [String], &'a dyn Resolve);

fn call(simple: &Simple, kind: ActionKind, (context, cwds, resolve): World<'_>, line: &mut Line) -> Effect {
    let Some(word) = simple.words.first() else {
        // `$(< file)`, and what a loop reads.
        let paths = simple.reads.iter().flat_map(|arg| paths(arg, cwds, (context, resolve), false)).collect();
        let text = simple.reads.iter().map(|it| format!("reading {}", shown(it))).collect::<Vec<_>>().join(", ");
        return Effect { kind: Some(kind), text, paths, ..Effect::default() };
    };
    let args: Vec<Arg> = simple.words.get(1..).unwrap_or(&[]).to_vec();
    let text = simple.words.iter().map(shown).collect::<Vec<_>>().join(" ");
    let mut effect = Effect { kind: Some(kind), text, args, word: word.text(), ..Effect::default() };
    match word.text() {
        None => line.doubt("command-word", format!("which program {} is", shown(word))),
        Some(word) if word.is_empty() => line.doubt("command-word", "an empty program name"),
        Some(word) if BUILTINS.contains(&word.as_str()) && kind == ActionKind::TerminalExec => effect.names.push(word),
        Some(word) => {
            for cwd in cwds {
                match resolve.program(&word, cwd, context) {
                    Program::System(names) => effect.names.extend(names),
                    Program::Local(path) => {
                        effect.features.push("local-program");
                        let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
                        line.doubt("local-program", format!("`{name}` is none of the system's programs"));
                    }
                    Program::Shadowed(path) => {
                        // Whatever it is: what is said of the name is said of it too.
                        effect.names.push(word.clone());
                        line.doubt("shadowed", format!("`{}` stands before the system's `{word}`", path.display()));
                    }
                    Program::Missing => {
                        let name = word.rsplit('/').next().unwrap_or_default();
                        effect.names.push(name.to_owned());
                        // A builtin that is no file is known by its name (`eval`); the list of wrappers has them.
                        line.doubt("missing", format!("there is no program `{word}`, and nobody knows what will be"));
                    }
                }
            }
            effect.names.sort();
            effect.names.dedup();
        }
    }
    effect.verb = verb(&effect.names, &effect.args).cloned();
    if !effect.names.iter().any(|it| PATHLESS.contains(&it.as_str())) {
        effect.paths = effect.args.iter().flat_map(|arg| paths(arg, cwds, (context, resolve), true)).collect();
    }
    effect.paths.extend(simple.reads.iter().flat_map(|arg| paths(arg, cwds, (context, resolve), false)));
    effect
}

/// What a program is to do: the first argument that is no option of its own. A word that may be one counts.
fn verb<'a>(names: &[String], args: &'a [Arg]) -> Option<&'a Arg> {
    let valued = VALUED.iter().filter(|it| names.iter().any(|name| name == it.0)).flat_map(|it| it.1);
    let valued: Vec<&str> = valued.copied().collect();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.text() {
            Some(text) if valued.contains(&text.as_str()) => {
                rest.next();
            }
            Some(text) if text.starts_with(['-', '+']) => {}
            _ => return Some(arg),
        }
    }
    None
}

fn shown(arg: &Arg) -> String {
    let (head, rest) = arg.glob.split();
    let open = if rest == Glob::default() { "" } else { "…" };
    let mut head: String = head.chars().take(80).map(|it| if it.is_control() { ' ' } else { it }).collect();
    head.push_str(open);
    head
}

/// Which paths a word may stand for: the whole of it, and what is behind `=`, `:`, `@`, `,` or an option's letter.
fn paths(arg: &Arg, cwds: &[String], (context, resolve): (&Context, &dyn Resolve), parts: bool) -> Vec<Glob> {
    let mut starts = vec![0];
    if parts {
        starts.extend(arg.glob.positions(&['=', ':', '@', ',']).map(|at| at + 1).take(PARTS_MAX));
        if arg.glob.split().0.starts_with('-') {
            starts.extend(arg.glob.positions(&['/', '~']).take(1));
            starts.push(2);
        }
    }
    let mut all = Vec::new();
    if parts && arg.glob.positions(&['=', ':', '@', ',']).nth(PARTS_MAX).is_some() {
        all.push(Arg::unknown().glob);
    }
    for start in starts {
        let glob = arg.glob.behind(start);
        if glob == Glob::default() && start > 0 {
            continue;
        }
        let (mut head, rest) = glob.split();
        if start > 0 && (head == "~" || head.starts_with("~/")) {
            // bash does it behind `=` and `:`, and so do many programs.
            head = tilde(&head, context);
        }
        for cwd in cwds {
            all.push(absolute(&head, &rest, cwd));
            let lexical = Path::new(cwd).join(&head).to_string_lossy().into_owned();
            // What leads elsewhere leads there before `..` does.
            if lexical.starts_with("/proc/") || lexical.starts_with("/dev/") {
                all.push(Glob::joined(&lexical, &rest));
            }
            if rest == Glob::default() {
                // Both ways: a directory before `..` that is not there may be made in between.
                all.extend(resolve.real(&lexical).map(|it| Glob::literal(&it)));
                let plain = normal(&lexical);
                if plain != lexical {
                    all.extend(resolve.real(&plain).map(|it| Glob::literal(&it)));
                }
            } else if let Some((directory, part)) = lexical.rsplit_once('/')
                && let Some(real) = resolve.real(if directory.is_empty() { "/" } else { directory })
            {
                all.push(absolute(&format!("{real}/{part}"), &rest, "/"));
            }
            if head.starts_with('/') {
                break;
            }
        }
    }
    all
}

fn absolute(head: &str, rest: &Glob, cwd: &str) -> Glob {
    let whole = Path::new(cwd).join(head).to_string_lossy().into_owned();
    if *rest == Glob::default() {
        return Glob::literal(&normal(&whole));
    }
    // What begins with something unknown may begin with a slash.
    if head.is_empty() && rest.starts_anywhere() {
        return Arg::unknown().glob;
    }
    // What is behind something unknown may lead up again.
    let (directory, part) = whole.rsplit_once('/').unwrap_or(("", &whole));
    if rest.positions(&['.']).count() > 1 && rest.positions(&['/']).next().is_some() || part == "." || part == ".." {
        return Arg::unknown().glob;
    }
    let directory = normal(directory);
    let slash = if directory == "/" { "" } else { "/" };
    Glob::joined(&format!("{directory}{slash}{part}"), rest)
}

/// Without `.`, `..` and doubled slashes, as words: links are a matter of [`Resolve::real`].
#[must_use]
pub fn normal(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            other => names.push(other),
        }
    }
    format!("/{}", names.join("/"))
}

fn page(url: &str, mut effect: Effect) -> Effect {
    effect.text =
        format!("`{}`", url.chars().take(200).map(|it| if it.is_control() { ' ' } else { it }).collect::<String>());
    let scheme: String = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    effect.scheme = Some(scheme.clone());
    let plain = url.len() <= LINE_BYTES_MAX && url.bytes().all(|it| it.is_ascii_graphic() && it != b'\\');
    let uri = url.parse::<http::Uri>().ok().filter(|_| plain);
    let host = uri.as_ref().and_then(|it| it.host()).map(|it| it.trim_end_matches('.').to_ascii_lowercase());
    let user = uri.as_ref().and_then(|it| it.authority()).is_some_and(|it| it.as_str().contains('@'));
    match host {
        Some(host) if !user && matches!(scheme.as_str(), "http" | "https") && is_plain_host(&host) => {
            effect.host = Some(host)
        }
        _ => {
            effect.doubt = true;
            effect.features.push("url");
        }
    }
    effect
}

/// A name, or an address written in the one way that is not also a number, an octal or half of one.
fn is_plain_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|it| it.is_ascii_digit()) || last.starts_with("0x");
    !host.is_empty()
        && !host.contains('%')
        && (bare.parse::<std::net::Ipv6Addr>().is_ok() || !numeric || host.parse::<std::net::Ipv4Addr>().is_ok())
}
