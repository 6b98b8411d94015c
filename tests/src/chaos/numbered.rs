//! Numbered output: every byte of it is known beforehand from a seed, so that one that is lost, repeated, changed or out of
//! place is found where it stands. The program that writes it and the clients that check it share this module.
//!
//! A line is `#<number> <length> <checksum> <bytes>\n`. The bytes are text, anything there is, or runs of 0xFF, which is what
//! the free part of a worker's read window is filled with.

use crate::seed::Seed;

/// `#`, ten digits, blank, five digits, blank, eight digits, blank.
const HEAD_BYTES: u64 = 1 + 10 + 1 + 5 + 1 + 8 + 1;

/// How many bytes of context a difference shows.
const CONTEXT_BYTES: usize = 48;

/// Bytes between head and line end of the n-th line.
fn payload_bytes(seed: u64, number: u64) -> u64 {
    let mut random = Seed::new(seed ^ number.wrapping_mul(0xA24B_AED4_963E_E407));
    match random.within(0..20) {
        0 => 0,
        1 => random.within(1000..4000),
        2..=4 => random.within(200..600),
        _ => random.within(1..120),
    }
}

/// Bytes of the n-th line.
fn line_bytes(seed: u64, number: u64) -> u64 {
    HEAD_BYTES + payload_bytes(seed, number) + 1
}

/// Appends the n-th line.
pub fn write_line(seed: u64, number: u64, out: &mut Vec<u8>) {
    let len = usize::try_from(payload_bytes(seed, number)).expect("a few thousand");
    let mut random = Seed::new(seed.rotate_left(17) ^ number.wrapping_mul(0x9FB2_1C65_1E98_DF25));
    let mut payload = random.bytes(len);
    match number % 4 {
        // Text.
        0 | 1 => payload.iter_mut().for_each(|byte| *byte = b' ' + *byte % 95),
        // Anything.
        2 => {}
        // Mostly 0xFF, up to the end of the line now and then.
        _ => payload.iter_mut().filter(|byte| **byte > 16).for_each(|byte| *byte = 0xff),
    }
    out.extend_from_slice(format!("#{number:010} {len:05} {:08x} ", crc32fast::hash(&payload)).as_bytes());
    out.append(&mut payload);
    out.push(b'\n');
}

/// Where a stream is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Offset of the first wrong byte.
    pub offset: u64,
    /// What was due, what came, and what that looks like.
    pub text: String,
}

/// Compares a stream with what its seed says.
#[derive(Debug)]
pub struct NumberedCheck {
    seed: u64,
    /// The line after those in `due`.
    next: u64,
    /// What is expected next.
    due: Vec<u8>,
    /// How much of `due` has come.
    come: usize,
    offset: u64,
}

impl NumberedCheck {
    /// From the first byte on.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, next: 1, due: Vec::new(), come: 0, offset: 0 }
    }

    /// Offset after what has come.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes.
    ///
    /// # Errors
    /// The first difference; what comes after it says nothing.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Difference> {
        while !bytes.is_empty() {
            if self.come == self.due.len() {
                self.due.clear();
                self.come = 0;
                write_line(self.seed, self.next, &mut self.due);
                self.next += 1;
            }
            let due = &self.due[self.come..];
            let len = due.len().min(bytes.len());
            if let Some(at) = due[..len].iter().zip(bytes).position(|(due, come)| due != come) {
                let offset = self.offset + at as u64;
                let line = self.next - 1;
                let text = format!(
                    "at offset {offset}, in line {line}: {:?} was due, {:?} came{}",
                    show(&due[at..]),
                    show(&bytes[at..]),
                    guess(line, &bytes[at..]),
                );
                return Err(Difference { offset, text });
            }
            self.come += len;
            self.offset += len as u64;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Passes over so many bytes, of which was told that they are nowhere.
    pub fn skip(&mut self, bytes: u64) {
        let mut left = bytes;
        let rest = (self.due.len() - self.come) as u64;
        if left < rest {
            self.come += usize::try_from(left).expect("less than a line");
            self.offset += left;
            return;
        }
        left -= rest;
        while left >= line_bytes(self.seed, self.next) {
            left -= line_bytes(self.seed, self.next);
            self.next += 1;
        }
        self.due.clear();
        write_line(self.seed, self.next, &mut self.due);
        self.next += 1;
        self.come = usize::try_from(left).expect("less than a line");
        self.offset += bytes;
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(CONTEXT_BYTES)]).into_owned()
}

/// What became of the lines, from the first whole head that follows.
fn guess(line: u64, bytes: &[u8]) -> String {
    let head = bytes.windows(12).find_map(|window| {
        let digits = window.strip_prefix(b"#")?.strip_suffix(b" ")?;
        std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
    });
    match head {
        Some(next) if next <= line => format!("; line {next} comes again"),
        Some(next) if next > line + 1 => format!("; lines {} to {} are missing or damaged", line, next - 1),
        Some(next) => format!("; line {next} follows"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(lines: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        (1..=lines).for_each(|number| write_line(7, number, &mut bytes));
        bytes
    }

    fn check(bytes: &[u8]) -> Result<(), Difference> {
        let mut check = NumberedCheck::new(7);
        // In pieces of any size.
        let mut random = Seed::new(3);
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = usize::try_from(random.within(1..3000)).unwrap().min(rest.len());
            check.feed(&rest[..len])?;
            rest = &rest[len..];
        }
        assert_eq!(check.offset(), bytes.len() as u64);
        Ok(())
    }

    #[test]
    fn what_the_program_writes_is_what_is_due() {
        check(&stream(500)).unwrap();
    }

    #[test]
    fn a_byte_dropped_doubled_changed_or_swapped_is_found_where_it_stands() {
        let whole = stream(300);
        let mut random = Seed::new(11);
        for _ in 0..500 {
            let at = usize::try_from(random.within(0..whole.len() as u64 - 2)).unwrap();
            let mut dropped = whole.clone();
            dropped.remove(at);
            let mut doubled = whole.clone();
            doubled.insert(at, whole[at]);
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let mut swapped = whole.clone();
            swapped.swap(at, at + 1);
            for (what, damaged) in
                [("dropped", dropped), ("doubled", doubled), ("changed", changed), ("swapped", swapped)]
            {
                if damaged == whole {
                    continue; // Two like neighbours.
                }
                match check(&damaged) {
                    // Among like bytes the first that differs is behind the one that was touched.
                    Err(found) => assert!(found.offset >= at as u64, "{what} at {at}: {found:?}"),
                    // One of several like bytes dropped at the very end: what is missing is the end, which is compared by length.
                    Ok(()) => assert!(damaged.len() < whole.len() && whole.starts_with(&damaged), "{what} at {at}"),
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_lost_or_comes_again_is_named() {
        let mut lost = stream(20);
        (22..=30).for_each(|number| write_line(7, number, &mut lost));
        let found = check(&lost).unwrap_err();
        assert_eq!(found.offset, stream(20).len() as u64 + 10, "{found:?}");
        let mut again = stream(20);
        (20..=30).for_each(|number| write_line(7, number, &mut again));
        assert!(check(&again).unwrap_err().text.contains("in line 21"));
    }

    #[test]
    fn what_is_skipped_is_counted_to_the_byte() {
        let whole = stream(400);
        let mut random = Seed::new(5);
        for _ in 0..200 {
            let from = usize::try_from(random.within(0..whole.len() as u64)).unwrap();
            let to = from + usize::try_from(random.within(0..(whole.len() - from) as u64)).unwrap();
            for (skipped, right) in [(to - from, true), (to - from + 1, false)] {
                let mut check = NumberedCheck::new(7);
                check.feed(&whole[..from]).unwrap();
                check.skip(skipped as u64);
                assert_eq!(check.offset(), (from + skipped) as u64);
                let rest = &whole[to..];
                // A run of like bytes may hide it at the end of the stream only.
                assert!(check.feed(rest).is_ok() == right || rest.len() < 5000, "{from}..{to}");
            }
        }
    }
}
