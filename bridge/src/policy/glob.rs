//! Patterns on both sides: what a rule says, and what is known of a word that the shell has yet to expand.
//!
//! A word like `src/*.rs` or `"$dir/key"` stands for many. Whether a rule's pattern and such a word have a text in common
//! is asked of the product of two small automata, so that nothing has to be guessed.

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// This character.
    Char(char),
    /// One character, no slash.
    One,
    /// Any number of characters, no slash.
    Star,
    /// Any number of characters.
    Deep,
    /// What the shell's `*` is at the start of a name: nothing (and then the next step is left out too), or a character
    /// that is neither a slash nor a dot.
    Lead,
}

/// Steps of a word that is not certain.
const STEPS_MAX: usize = 256;

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Glob(Vec<Step>);

impl Glob {
    /// Exactly this text.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self(text.chars().map(Step::Char).collect())
    }

    /// A rule's pattern for arguments: `*` is any text.
    #[must_use]
    pub fn of_argument(pattern: &str) -> Self {
        Self(pattern.chars().map(|it| if it == '*' { Step::Deep } else { Step::Char(it) }).collect())
    }

    /// A rule's pattern for paths: `*` stays within a name, `**` does not, `?` is one character.
    #[must_use]
    pub fn of_path(pattern: &str) -> Self {
        let (mut steps, mut rest) = (Vec::new(), pattern.chars().peekable());
        while let Some(next) = rest.next() {
            steps.push(match next {
                '*' if rest.peek() == Some(&'*') => {
                    rest.next();
                    Step::Deep
                }
                '*' => Step::Star,
                '?' => Step::One,
                other => Step::Char(other),
            });
        }
        Self(steps)
    }

    /// Whatever follows, any text may.
    pub fn push_any(&mut self) {
        self.0.push(Step::Deep);
    }

    /// Text that is certain.
    pub fn push_text(&mut self, text: &str) {
        self.0.extend(text.chars().map(Step::Char));
    }

    /// Whether it is a long pattern: what it could be is then not worth the time, and it may be anything.
    #[must_use]
    pub fn is_excessive(&self) -> bool {
        self.0.len() > STEPS_MAX && self.text().is_none()
    }

    /// The shell's `*`.
    pub fn push_star(&mut self) {
        if matches!(self.0.last(), None | Some(Step::Char('/'))) {
            self.0.push(Step::Lead);
        }
        self.0.push(Step::Star);
    }

    /// The shell's `?` or `[…]`.
    pub fn push_one(&mut self) {
        self.0.push(Step::One);
    }

    /// The text, where there is just one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.0.iter().map(|step| if let Step::Char(it) = step { Some(*it) } else { None }).collect()
    }

    /// What every one of its texts begins with, and the steps behind it.
    #[must_use]
    pub fn split(&self) -> (String, Self) {
        let certain = self.0.iter().take_while(|step| matches!(step, Step::Char(_))).count();
        let head =
            self.0.iter().take(certain).filter_map(|step| if let Step::Char(it) = step { Some(*it) } else { None });
        (head.collect(), Self(self.0.iter().skip(certain).copied().collect()))
    }

    /// This text, and then those of `rest`.
    #[must_use]
    pub fn joined(text: &str, rest: &Self) -> Self {
        let mut whole = Self::literal(text);
        whole.0.extend(&rest.0);
        whole
    }

    /// A rule's pattern that begins with `~`, below this directory.
    #[must_use]
    pub fn at_home(&self, home: &str) -> Option<Self> {
        let starts = self.0.first() == Some(&Step::Char('~')) && matches!(self.0.get(1), None | Some(Step::Char('/')));
        starts.then(|| Self::joined(home.trim_end_matches('/'), &self.behind(1)))
    }

    /// The part behind its `count`-th character; the steps of it.
    #[must_use]
    pub fn behind(&self, count: usize) -> Self {
        Self(self.0.iter().skip(count).copied().collect())
    }

    /// Whether its texts may begin with anything at all.
    #[must_use]
    pub fn starts_anywhere(&self) -> bool {
        self.0.first() == Some(&Step::Deep)
    }

    /// Whether a text of it may climb, by `..` behind something unknown.
    #[must_use]
    pub fn meets_up(&self) -> bool {
        self.0.contains(&Step::Deep)
    }

    /// Where the certain characters of `set` are.
    pub fn positions<'a>(&'a self, set: &'a [char]) -> impl Iterator<Item = usize> + 'a {
        let found = move |(at, step): (usize, &Step)| matches!(step, Step::Char(it) if set.contains(it)).then_some(at);
        self.0.iter().enumerate().filter_map(found)
    }

    /// Whether some text belongs to both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        // Most pairs differ where both are certain, at the start: those need no search.
        for (x, y) in a.iter().zip(b) {
            match (x, y) {
                (Step::Char(x), Step::Char(y)) if x != y => return false,
                (Step::Char(_), Step::Char(_)) => {}
                _ => break,
            }
        }
        let width = b.len() + 1;
        // A bit each: a word of a line times a pattern is 2 Mi of them at most.
        let mut seen = vec![0_u64; ((a.len() + 1) * width).div_ceil(64)];
        let mut open = vec![(0, 0)];
        while let Some((i, j)) = open.pop() {
            let (at, bit) = ((i * width + j) / 64, 1 << ((i * width + j) % 64));
            let Some(marks) = seen.get_mut(at) else { continue };
            if *marks & bit != 0 {
                continue;
            }
            *marks |= bit;
            if i == a.len() && j == b.len() {
                return true;
            }
            if let Some(past) = skip(a, i) {
                open.push((past, j));
            }
            if let Some(past) = skip(b, j) {
                open.push((i, past));
            }
            if let (Some(x), Some(y)) = (a.get(i), b.get(j))
                && share(*x, *y)
            {
                open.push((after(*x, i), after(*y, j)));
            }
        }
        false
    }
}

/// Where one goes without a character.
fn skip(steps: &[Step], at: usize) -> Option<usize> {
    match steps.get(at)? {
        Step::Star | Step::Deep => Some(at + 1),
        Step::Lead => Some((at + 2).min(steps.len())),
        Step::Char(_) | Step::One => None,
    }
}

/// Where one is after a character.
const fn after(step: Step, at: usize) -> usize {
    match step {
        Step::Star | Step::Deep => at,
        Step::Char(_) | Step::One | Step::Lead => at + 1,
    }
}

/// Whether both steps take some character.
fn share(a: Step, b: Step) -> bool {
    let takes = |step, it| match step {
        Step::Char(own) => own == it,
        Step::One | Step::Star => it != '/',
        Step::Deep => true,
        Step::Lead => it != '/' && it != '.',
    };
    match (a, b) {
        (Step::Char(it), other) | (other, Step::Char(it)) => takes(other, it),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Glob {
        let mut glob = Glob::default();
        for it in text.chars() {
            match it {
                '*' => glob.push_star(),
                '?' => glob.push_one(),
                '$' => glob.push_any(),
                other => glob.push_text(&other.to_string()),
            }
        }
        glob
    }

    #[test]
    fn patterns_meet_where_a_text_is_in_both() {
        for (rule, word, meets) in [
            ("/home/u/.ssh/**", "/home/u/.ssh/id", true),
            ("/home/u/.ssh/**", "/home/u/*", false),
            ("/home/u/.ssh/**", "/home/u/.s*/id", true),
            ("/home/u/.ssh/**", "/home/u/.?sh/*", true),
            ("/home/u/.ssh/**", "$/id", true),
            ("**/.env", "/w/*", false),
            ("**/.env", "/w/.*", true),
            ("**/*.pem", "/w/*", true),
            ("**/*.pem", "/w/*.rs", false),
            ("/etc/?", "/etc/ab", false),
        ] {
            assert_eq!(Glob::of_path(rule).meets(&shell(word)), meets, "{rule} {word}");
        }
        assert!(Glob::of_argument("-*r*").meets(&shell("-rf")));
        assert!(!Glob::of_argument("-*r*").meets(&shell("file")));
    }
}
