//! A command line as the simple commands that it would run, by a real grammar; what that leaves open is said, not guessed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use brush_parser::ast::{
    AndOr, AssignmentName, AssignmentValue, Command, CommandPrefixOrSuffixItem as Item, CompoundCommand, CompoundList,
    ExtendedTestExpr, IoFileRedirectKind as Kind, IoFileRedirectTarget as Target, IoRedirect, Pipeline, RedirectList,
    SeparatorOperator, SimpleCommand, Word,
};
use brush_parser::word::{Parameter, ParameterExpr, WordPiece, WordPieceWithSource};
use brush_parser::{ParserOptions, SourceInfo, Token, TokenizerOptions};

use super::glob::Glob;

/// A longer line is a script, and is not understood.
pub const LINE_BYTES_MAX: usize = 8 << 10;
/// The grammar goes back at each bracket, in the worst case twice as often with each: 2^12 is soon done.
const BRACKETS_MAX: usize = 12;
/// Each keyword nests, and each level takes a few KiB of stack.
const KEYWORDS_MAX: usize = 24;
/// Lines within lines: substitutions, `sh -c`.
pub const DEPTH_MAX: usize = 4;
/// Simple commands of a line, those within its substitutions counted.
pub const COMMANDS_MAX: usize = 128;

/// Something that a line has and that was not understood; its name is what a rule calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Of a closed list, see `docs/policy.md`.
    pub feature: &'static str,
    /// In words.
    pub why: String,
}

/// A word after its quotes are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// What it may be.
    pub glob: Glob,
    /// Whether it may become none, or several.
    pub many: bool,
}

impl Arg {
    /// Exactly this.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self { glob: Glob::literal(text), many: false }
    }

    /// Anything.
    #[must_use]
    pub fn unknown() -> Self {
        let mut glob = Glob::default();
        glob.push_any();
        Self { glob, many: true }
    }

    /// The text, where it is certain.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if self.many { None } else { self.glob.text() }
    }
}

/// One simple command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Simple {
    /// Its words, the program first.
    pub words: Vec<Arg>,
    /// Files that its redirections write.
    pub writes: Vec<Arg>,
    /// Files that its redirections read.
    pub reads: Vec<Arg>,
    /// Whether its input is a pipe, a here-document, or a file.
    pub fed: bool,
}

/// What a line comes to.
#[derive(Debug, Default)]
pub struct Line {
    /// What it runs, in the order written.
    pub commands: Vec<Simple>,
    /// What was not understood.
    pub doubts: Vec<Doubt>,
    /// Whether something in it may happen again, after what stands behind it.
    pub repeats: bool,
}

impl Line {
    /// Notes something.
    pub fn doubt(&mut self, feature: &'static str, why: impl Into<String>) {
        let doubt = Doubt { feature, why: why.into() };
        if !self.doubts.contains(&doubt) && self.doubts.len() < COMMANDS_MAX {
            self.doubts.push(doubt);
        }
    }
}

/// Reads a line into `out`; `depth` is how many lines it is in, `home` what `~` is.
pub fn read(line: &str, home: &str, depth: usize, out: &mut Line) {
    if depth > DEPTH_MAX {
        return out.doubt("too-deep", format!("lines within lines, more than {DEPTH_MAX} deep"));
    }
    if let Err(why) = bounded(line) {
        return out.doubt("unparsable", why);
    }
    if line.trim_start().starts_with('^') {
        out.doubt("history", "`^a^b` is the line before, changed");
    }
    // The grammar is a library's: a panic of it is one line that is not understood.
    let parsed = catch_unwind(AssertUnwindSafe(|| program(line)));
    let program = match parsed {
        Ok(Ok(program)) => program,
        Ok(Err(why)) => return out.doubt("unparsable", why),
        Err(_) => return out.doubt("unparsable", "the grammar failed on it"),
    };
    let mut reader = Reader { home, depth, out };
    for list in &program.complete_commands {
        reader.list(list, false);
    }
}

/// What is refused before any grammar sees it: what makes it slow, what shells read differently.
fn bounded(line: &str) -> Result<(), String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("{} bytes, more than {LINE_BYTES_MAX}", line.len()));
    }
    if let Some(it) = line.chars().find(|it| (it.is_control() && !matches!(it, '\n' | '\t')) || is_strange(*it)) {
        return Err(format!("the character {}", it.escape_unicode()));
    }
    for (what, most) in [('(', BRACKETS_MAX), ('`', BRACKETS_MAX), ('{', BRACKETS_MAX + 4)] {
        if line.matches(what).count() > most {
            return Err(format!("more than {most} of `{what}`"));
        }
    }
    // A number that a descriptor or a directory's place in a stack can't be stops the grammar.
    if line.split(|it: char| !it.is_ascii_digit()).any(|digits| digits.len() > 9) && line.contains(['<', '>', '~']) {
        return Err("a number of more than nine digits beside a redirection or a tilde".to_owned());
    }
    Ok(())
}

/// Space that is none to a shell, and what turns the direction of writing: people would approve another line.
const fn is_strange(it: char) -> bool {
    matches!(it, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}')
}

fn options() -> ParserOptions {
    ParserOptions::default()
}

fn program(line: &str) -> Result<brush_parser::ast::Program, String> {
    let tokens =
        brush_parser::uncached_tokenize_str(line, &TokenizerOptions::default()).map_err(|it| it.to_string())?;
    let nests = |it: &&Token| {
        let word = ["if", "while", "until", "for", "case", "do", "select", "function", "coproc", "time", "!", "[["];
        matches!(it, Token::Word(text, _) if word.contains(&text.as_str()))
    };
    if tokens.iter().filter(nests).count() > KEYWORDS_MAX {
        return Err(format!("more than {KEYWORDS_MAX} keywords"));
    }
    // What is behind `#` is a comment to bash; zsh, at a prompt, takes it for words.
    let hashes = |text: &str| text.matches('#').count();
    let kept: usize = tokens.iter().map(|it| hashes(it.to_str())).sum();
    if kept < hashes(line) {
        let behind = line.split_once('#').map_or("", |it| it.1);
        if behind.contains([';', '&', '|', '<', '>', '$', '(', ')', '{', '}', '`', '\'', '"', '\\', '*', '?', '[', '~'])
        {
            return Err("a comment with more than words in it: some shells take it for a part of the line".to_owned());
        }
    }
    brush_parser::parse_tokens(&tokens, &options(), &SourceInfo::default()).map_err(|it| it.to_string())
}

struct Reader<'a> {
    home: &'a str,
    depth: usize,
    out: &'a mut Line,
}

impl Reader<'_> {
    fn doubt(&mut self, feature: &'static str, why: impl Into<String>) {
        self.out.doubt(feature, why);
    }

    fn list(&mut self, list: &CompoundList, fed: bool) {
        for item in &list.0 {
            if matches!(item.1, SeparatorOperator::Async) {
                self.doubt("background", "`&` goes on when the command is over");
            }
            self.pipeline(&item.0.first, fed);
            for next in &item.0.additional {
                let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = next;
                self.pipeline(pipeline, fed);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, fed: bool) {
        for (place, command) in pipeline.seq.iter().enumerate() {
            self.command(command, fed || place > 0);
        }
    }

    fn command(&mut self, command: &Command, fed: bool) {
        match command {
            Command::Simple(simple) => self.simple(simple, fed),
            Command::Compound(compound, redirects) => {
                self.redirects(redirects.as_ref());
                // What it is given by a redirection, each command in it may read.
                self.compound(compound, fed || redirects.is_some());
            }
            Command::Function(function) => {
                self.doubt("function", "a function may have the name of a program");
                self.redirects(function.body.1.as_ref());
                self.compound(&function.body.0, true);
            }
            Command::ExtendedTest(test) => self.test(&test.expr),
        }
    }

    fn redirects(&mut self, redirects: Option<&RedirectList>) {
        let mut simple = Simple::default();
        for redirect in redirects.iter().flat_map(|it| &it.0) {
            self.redirect(redirect, &mut simple);
        }
        self.push(simple);
    }

    fn compound(&mut self, compound: &CompoundCommand, fed: bool) {
        use CompoundCommand as C;
        self.out.repeats |=
            matches!(compound, C::ForClause(_) | C::WhileClause(_) | C::UntilClause(_) | C::ArithmeticForClause(_));
        match compound {
            CompoundCommand::Arithmetic(it) => self.arithmetic(&it.expr.value),
            CompoundCommand::ArithmeticForClause(it) => {
                for part in [&it.initializer, &it.condition, &it.updater].into_iter().flatten() {
                    self.arithmetic(&part.value);
                }
                self.list(&it.body.list, fed);
            }
            CompoundCommand::BraceGroup(it) => self.list(&it.list, fed),
            CompoundCommand::Subshell(it) => self.list(&it.list, fed),
            CompoundCommand::ForClause(it) => {
                self.assigned(&it.variable_name);
                for word in it.values.iter().flatten() {
                    self.value(word);
                }
                self.list(&it.body.list, fed);
            }
            CompoundCommand::CaseClause(it) => {
                self.word(&it.value);
                for case in &it.cases {
                    for pattern in &case.patterns {
                        self.word(pattern);
                    }
                    if let Some(list) = &case.cmd {
                        self.list(list, fed);
                    }
                }
            }
            CompoundCommand::IfClause(it) => {
                self.list(&it.condition, fed);
                self.list(&it.then, fed);
                for other in it.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        self.list(condition, fed);
                    }
                    self.list(&other.body, fed);
                }
            }
            CompoundCommand::WhileClause(it) | CompoundCommand::UntilClause(it) => {
                self.list(&it.0, fed);
                self.list(&it.1.list, fed);
            }
        }
    }

    fn test(&mut self, test: &ExtendedTestExpr) {
        match test {
            ExtendedTestExpr::And(a, b) | ExtendedTestExpr::Or(a, b) => {
                self.test(a);
                self.test(b);
            }
            ExtendedTestExpr::Not(it) | ExtendedTestExpr::Parenthesized(it) => self.test(it),
            ExtendedTestExpr::UnaryTest(_, word) => {
                self.tested(word);
            }
            ExtendedTestExpr::BinaryTest(what, a, b) => {
                let numbers = [self.tested(a), self.tested(b)].iter().all(is_number);
                if !numbers && CALCULATING.contains(&what.to_string().as_str()) {
                    self.doubt("arithmetic", "a comparison of numbers that are not written out may run a command");
                }
            }
        }
    }

    /// `-v`, `-eq` and the like calculate what they are given, and a subscript may run a command.
    fn tested(&mut self, word: &Word) -> Arg {
        if word.value.contains('[') {
            self.doubt("arithmetic", "a subscript in a test may run a command");
        }
        self.word(word)
    }

    fn arithmetic(&mut self, text: &str) {
        // A name's value is calculated again, and a subscript in that value may run a command; `((PATH=0))` assigns as well.
        let plain = |it: char| it.is_ascii_digit() || it.is_ascii_whitespace() || "+-*/%<>=!&|^~?:(),".contains(it);
        if let Some(it) = text.chars().find(|it| !plain(*it)) {
            self.doubt(
                "arithmetic",
                format!("`{it}` in a calculation: what is calculated may run a command, or assign"),
            );
        }
    }

    fn assigned(&mut self, name: &str) {
        if is_sensitive(name) {
            self.doubt("assignment", format!("`{name}` may change which program runs, or what it does"));
        }
    }

    fn simple(&mut self, command: &SimpleCommand, fed: bool) {
        let mut simple = Simple { fed, ..Simple::default() };
        for item in command.prefix.iter().flat_map(|it| &it.0) {
            if let Item::AssignmentWord(assignment, _) = item
                && let AssignmentName::VariableName(name) = &assignment.name
                && command.word_or_name.is_some()
                && !is_harmless(name)
            {
                self.doubt("assignment", format!("`{name}` may change what the program does"));
            }
            self.item(item, &mut simple);
        }
        let mut prefixed = Vec::new();
        std::mem::swap(&mut prefixed, &mut simple.words);
        if !prefixed.is_empty() {
            self.doubt("unparsable", "a word before the program");
        }
        if let Some(word) = &command.word_or_name {
            let arg = self.word(word);
            simple.words.push(arg);
        }
        for item in command.suffix.iter().flat_map(|it| &it.0) {
            self.item(item, &mut simple);
        }
        self.push(simple);
    }

    fn push(&mut self, simple: Simple) {
        if simple == (Simple { fed: simple.fed, ..Simple::default() }) {
            return;
        }
        if self.out.commands.len() >= COMMANDS_MAX {
            return self.doubt("too-many", format!("more than {COMMANDS_MAX} commands"));
        }
        self.out.commands.push(simple);
    }

    fn item(&mut self, item: &Item, simple: &mut Simple) {
        match item {
            Item::IoRedirect(redirect) => self.redirect(redirect, simple),
            Item::Word(word) => {
                let arg = self.word(word);
                simple.words.push(arg);
            }
            Item::AssignmentWord(assignment, word) => {
                if simple.words.is_empty() {
                    self.assignment(&assignment.name, &assignment.value);
                } else {
                    // An argument that looks like one (`dd if=x`, `export A=b`); who takes it as one is known by its name.
                    let arg = self.word(word);
                    simple.words.push(arg);
                }
            }
            Item::ProcessSubstitution(_, subshell) => {
                self.list(&subshell.list, true);
                simple.words.push(Arg::unknown());
            }
        }
    }

    fn assignment(&mut self, name: &AssignmentName, value: &AssignmentValue) {
        match name {
            AssignmentName::VariableName(name) => self.assigned(name),
            AssignmentName::ArrayElementName(name, index) => {
                // In zsh `aliases[ls]=…` makes one, and so do its like.
                self.doubt("assignment", format!("`{name}[…]` is set"));
                self.arithmetic(index);
            }
        }
        match value {
            AssignmentValue::Scalar(word) => self.value(word),
            AssignmentValue::Array(values) => {
                self.doubt("assignment", "an array");
                for (key, value) in values {
                    if let Some(key) = key {
                        self.word(key);
                    }
                    self.word(value);
                }
            }
        }
    }

    /// Where a variable is calculated with, so is its value, and a subscript in it runs commands.
    fn value(&mut self, word: &Word) {
        self.word(word);
        if word.value.contains('[') {
            self.doubt("assignment", "a value with a subscript may run a command where it is calculated with");
        }
    }

    fn redirect(&mut self, redirect: &IoRedirect, simple: &mut Simple) {
        match redirect {
            IoRedirect::File(_, kind, target) => match target {
                Target::Fd(_) => {}
                Target::ProcessSubstitution(_, subshell) => {
                    simple.fed = true;
                    self.list(&subshell.list, true);
                }
                Target::Filename(word) => {
                    let arg = self.word(word);
                    self.target(word);
                    match kind {
                        Kind::Read | Kind::DuplicateInput => {
                            simple.fed = true;
                            simple.reads.push(arg);
                        }
                        _ => simple.writes.push(arg),
                    }
                }
                Target::Duplicate(word) => {
                    let arg = self.word(word);
                    self.target(word);
                    let is_descriptor =
                        |it: &str| it == "-" || it.trim_end_matches('-').bytes().all(|it| it.is_ascii_digit());
                    if !arg.text().is_some_and(|it| is_descriptor(&it)) {
                        simple.writes.push(arg);
                    }
                }
            },
            IoRedirect::HereDocument(_, document) => {
                simple.fed = true;
                let text = &document.doc.value;
                if document.requires_expansion && (["$(", "`", "${", "$["].iter().any(|it| text.contains(it))) {
                    self.doubt("here-document", "its text is expanded, and may run a command");
                }
            }
            IoRedirect::HereString(_, word) => {
                simple.fed = true;
                self.word(word);
            }
            IoRedirect::OutputAndError(word, _) => {
                let arg = self.word(word);
                self.target(word);
                simple.writes.push(arg);
            }
        }
    }

    /// zsh writes to what is behind `>!`, fish to what is behind `>?`.
    fn target(&mut self, word: &Word) {
        if word.value.starts_with(['!', '?']) {
            self.doubt("expansion", "a redirection that some shells read otherwise");
        }
    }

    /// A word without its quotes; what is run to make it, is read.
    fn word(&mut self, word: &Word) -> Arg {
        // The line's bounds are this word's too.
        let parsed = catch_unwind(AssertUnwindSafe(|| brush_parser::word::parse(&word.value, &options())));
        let Ok(Ok(pieces)) = parsed else {
            self.doubt("unparsable", format!("the word `{}`", word.value));
            return Arg::unknown();
        };
        // The grammar takes `$[…]`, an old way to calculate, for text.
        if word.value.contains("$[") {
            self.doubt("arithmetic", "`$[…]` may run a command");
        }
        let mut arg = Arg { glob: Glob::default(), many: false };
        self.pieces(&pieces, false, &mut arg);
        if arg.glob.is_excessive() {
            arg = Arg::unknown();
        }
        // Braces become several words, and a set ends where it may: quotes and expansions within them are no borders. From
        // there on nothing is certain.
        if let Some(open) = opened(&pieces)
            && !matches!(word.value.as_str(), "[" | "{}" | "{")
        {
            let (mut head, rest) = arg.glob.split();
            if let Some(at) = head.find(open) {
                head.truncate(at);
                arg.glob = Arg::unknown().glob;
                arg.glob = Glob::joined(&head, &arg.glob);
            } else if rest != Glob::default() {
                arg.glob = Glob::joined(&head, &Arg::unknown().glob);
            }
            arg.many = true;
        }
        arg
    }

    fn pieces(&mut self, pieces: &[WordPieceWithSource], quoted: bool, arg: &mut Arg) {
        for piece in pieces {
            match &piece.piece {
                WordPiece::Text(text) => self.text(text, quoted, arg),
                WordPiece::SingleQuotedText(text) => {
                    if text.ends_with('\\') {
                        self.doubt("quoting", "fish goes on behind `\\'`");
                    }
                    arg.glob.push_text(text);
                }
                WordPiece::AnsiCQuotedText(text) => {
                    if text.contains('\\') {
                        self.doubt("quoting", "`$'…'` with escapes");
                        arg.glob.push_any();
                    } else {
                        arg.glob.push_text(text);
                    }
                }
                WordPiece::DoubleQuotedSequence(inner) | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    self.pieces(inner, true, arg);
                }
                WordPiece::TildePrefix(user) => {
                    if user.is_empty() {
                        arg.glob.push_text(self.home);
                    } else {
                        // The grammar takes all up to the slash for a name, be it `$(…)`.
                        if !user.bytes().all(|it| it.is_ascii_alphanumeric() || b"._+-".contains(&it)) {
                            self.doubt("expansion", "`~` before something that is no name");
                        }
                        arg.glob.push_any();
                    }
                }
                WordPiece::ParameterExpansion(it) => self.parameter(it, quoted, arg),
                WordPiece::CommandSubstitution(line) | WordPiece::BackquotedCommandSubstitution(line) => {
                    read(line, self.home, self.depth + 1, self.out);
                    arg.glob.push_any();
                    arg.many |= !quoted;
                }
                WordPiece::EscapeSequence(text) => {
                    let behind = text.strip_prefix('\\').unwrap_or(text);
                    if !quoted && behind.starts_with(|it: char| it.is_ascii_alphanumeric()) {
                        self.doubt("quoting", "fish takes `\\x73` for a character");
                    }
                    if behind != "\n" {
                        arg.glob.push_text(behind);
                    }
                }
                WordPiece::ArithmeticExpression(it) => {
                    self.arithmetic(&it.value);
                    arg.glob.push_any();
                }
            }
        }
    }

    fn text(&mut self, text: &str, quoted: bool, arg: &mut Arg) {
        if quoted {
            if text.contains("\\\n") {
                self.doubt("quoting", "a line goes on within quotes");
            }
            if has_history(text) {
                self.doubt("history", "`!` may be a line typed before");
            }
            return arg.glob.push_text(text);
        }
        if has_history(text) {
            self.doubt("history", "`!` may be a line typed before");
        }
        if text.contains(['(', ')']) {
            // bash has patterns with brackets; in zsh they may hold code: `*(e:…:)`.
            self.doubt("expansion", "brackets in a word");
        }
        if text.starts_with('=') && arg.glob == Glob::default() && text.len() > 1 {
            self.doubt("expansion", "zsh takes `=name` for a program's path");
        }
        let mut rest = text.chars();
        while let Some(it) = rest.next() {
            match it {
                '*' => {
                    // `**` goes through directories in zsh, and in bash if it was told so.
                    if rest.as_str().starts_with('*') {
                        arg.glob.push_any();
                    }
                    arg.glob.push_star();
                    arg.many = true;
                }
                '?' => {
                    arg.glob.push_one();
                    arg.many = true;
                }
                other => arg.glob.push_text(other.encode_utf8(&mut [0; 4])),
            }
        }
    }

    fn parameter(&mut self, expr: &ParameterExpr, quoted: bool, arg: &mut Arg) {
        match expr {
            // Assigning it is a doubt of its own, so it is what it was.
            ParameterExpr::Parameter { parameter: Parameter::Named(name), indirect: false } if name == "HOME" => {
                arg.glob.push_text(self.home);
            }
            ParameterExpr::Parameter {
                parameter: Parameter::Named(_) | Parameter::Positional(_) | Parameter::Special(_),
                indirect: false,
            } => {
                arg.glob.push_any();
                arg.many |= !quoted || is_list(expr);
            }
            _ => {
                self.doubt("expansion", "`${…}` with an operator may assign, or run a command");
                arg.glob.push_any();
                arg.many = true;
            }
        }
    }
}

/// Operators of `[[` whose operands are calculated.
const CALCULATING: [&str; 6] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

/// Whether it is a number that is written out.
#[must_use]
pub fn is_number(arg: &Arg) -> bool {
    arg.text().is_some_and(|it| it.trim_start_matches('-').bytes().all(|it| it.is_ascii_digit()))
}

/// The first unquoted character that opens a set or braces.
fn opened(pieces: &[WordPieceWithSource]) -> Option<char> {
    pieces.iter().find_map(|it| match &it.piece {
        WordPiece::Text(text) => text.chars().find(|it| matches!(it, '{' | '[')),
        _ => None,
    })
}

/// `"$@"` is several words even in quotes.
const fn is_list(expr: &ParameterExpr) -> bool {
    matches!(expr, ParameterExpr::Parameter { parameter: Parameter::Special(_), .. })
}

/// An interactive shell replaces `!word` by a line typed before (bash(1), HISTORY EXPANSION).
fn has_history(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    while let Some(it) = rest.next() {
        if it == '!' && rest.peek().is_some_and(|next| !matches!(next, ' ' | '\t' | '\n' | '=' | '(' | '"')) {
            return true;
        }
    }
    false
}

/// Whether it is a variable of the environment that changes nothing but how a program looks or how much it says.
#[must_use]
pub fn is_harmless(name: &str) -> bool {
    const HARMLESS: [&str; 22] = [
        "CI",
        "COLUMNS",
        "LINES",
        "DEBUG",
        "VERBOSE",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TERM",
        "NO_COLOR",
        "FORCE_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "NODE_ENV",
        "RUST_LOG",
        "RUST_BACKTRACE",
        "RUST_LIB_BACKTRACE",
        "RUST_TEST_THREADS",
        "PROPTEST_CASES",
        "PROPTEST_SEED",
        "CARGO_TERM_COLOR",
        "OLDPWD",
    ];
    HARMLESS.contains(&name) || name.starts_with("LC_")
}

/// Whether a variable of a shell's may change what runs. Those that can't are named; a lower-case name is a script's own, as
/// long as no program gets it, but for those that are in the environment anyway.
#[must_use]
pub fn is_sensitive(name: &str) -> bool {
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    let own = name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    // Arrays of zsh's that are variables of bash's by another name.
    let zsh = ["path", "fpath", "cdpath", "manpath", "mailpath", "module_path", "fignore", "prompt", "psvar"];
    (!own || proxy || zsh.contains(&name) || name.ends_with("_functions")) && !is_harmless(name)
}
