//! What was typed, as the program says that read it.
//!
//! The echo program answers each piece it reads with `<total checksum piece>\n`: bytes read so far, CRC-32 of all of them, the
//! piece in hexadecimal. So whoever follows its output knows what was typed to the byte, and sees a lost or repeated answer.
//!
//! What is typed are records, one a frame: STX, who, stream, epoch, seq, length, checksum, bytes, ETX.

use std::io::Write as _;

const STX: u8 = 2;
const ETX: u8 = 3;

/// More than the longest answer.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The program's side: answers to what it reads.
#[derive(Debug, Default)]
pub struct Echo {
    total: u64,
    crc: crc32fast::Hasher,
}

impl Echo {
    /// The answer to a piece; an empty one is a greeting.
    ///
    /// # Panics
    /// Never: a vector takes everything.
    pub fn answer(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.total += piece.len() as u64;
        self.crc.update(piece);
        write!(out, "<{} {:08x} ", self.total, self.crc.clone().finalize()).expect("a vector");
        for byte in piece {
            write!(out, "{byte:02x}").expect("a vector");
        }
        out.extend_from_slice(b">\n");
    }
}

/// The follower's side: what was typed, from the answers.
#[derive(Debug, Default)]
pub struct Answers {
    line: Vec<u8>,
    echo: Echo,
}

impl Answers {
    /// The next bytes of output; what they say was typed.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut typed = Vec::new();
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                typed.extend(self.line(&line)?);
            } else if self.line.len() > LINE_BYTES_MAX {
                return Err("an answer without an end".to_owned());
            }
        }
        Ok(typed)
    }

    /// Bytes that were typed so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.echo.total
    }

    fn line(&mut self, line: &[u8]) -> Result<Vec<u8>, String> {
        let shown = || String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
        let piece =
            hex_of(line).ok_or_else(|| format!("after {} typed bytes: no answer: {:?}", self.echo.total, shown()))?;
        let before = self.echo.total;
        let mut due = Vec::new();
        self.echo.answer(&piece, &mut due);
        if due != line {
            return Err(format!(
                "after {before} typed bytes: {:?} came, {:?} was due: an answer is lost, repeated or changed",
                shown(),
                String::from_utf8_lossy(&due[..due.len().min(120)])
            ));
        }
        Ok(piece)
    }
}

fn hex_of(line: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix('<')?.strip_suffix(">\n")?;
    let hex = text.split(' ').nth(2)?.as_bytes();
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Who typed what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which typist.
    pub who: u64,
    /// Its input stream.
    pub stream: u64,
    /// The epoch it typed under.
    pub epoch: u64,
    /// Its number in the stream.
    pub seq: u64,
    /// CRC-32 of its bytes.
    pub crc: u32,
}

impl Record {
    /// A record of these bytes, and the frame that carries it.
    #[must_use]
    pub fn of(who: u64, stream: u64, epoch: u64, seq: u64, bytes: &[u8]) -> (Self, Vec<u8>) {
        // Neither of the two marks inside.
        let bytes: Vec<u8> = bytes.iter().map(|byte| if matches!(*byte, STX | ETX) { b'.' } else { *byte }).collect();
        let record = Self { who, stream, epoch, seq, crc: crc32fast::hash(&bytes) };
        let mut frame = vec![STX];
        frame.extend_from_slice(format!("{who} {stream} {epoch} {seq} {} {:08x} ", bytes.len(), record.crc).as_bytes());
        frame.extend_from_slice(&bytes);
        frame.push(ETX);
        (record, frame)
    }

    fn parse(inside: &[u8]) -> Option<Self> {
        let mut parts = inside.splitn(7, |byte| *byte == b' ');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let mut number = || text()?.parse::<u64>().ok();
        let (who, stream, epoch, seq, len) = (number()?, number()?, number()?, number()?, number()?);
        let crc = u32::from_str_radix(text()?, 16).ok()?;
        let bytes = parts.next()?;
        (bytes.len() as u64 == len && crc32fast::hash(bytes) == crc).then_some(Self { who, stream, epoch, seq, crc })
    }
}

/// A piece of what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A whole record.
    Whole(Record),
    /// The beginning of one whose rest never came: who and seq, as far as it was typed.
    Fragment(Option<(u64, u64)>),
    /// Anything else.
    Stray(String),
}

/// Cuts what was typed into records.
#[derive(Debug, Default)]
pub struct Records {
    open: Option<Vec<u8>>,
    stray: Vec<u8>,
}

impl Records {
    /// The next typed bytes.
    pub fn feed(&mut self, typed: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for byte in typed {
            match (*byte, self.open.as_mut()) {
                (STX, _) => {
                    self.end_stray(&mut pieces);
                    if let Some(cut) = self.open.replace(Vec::new()) {
                        pieces.push(Piece::Fragment(begin_of(&cut)));
                    }
                }
                (ETX, Some(_)) => {
                    let inside = self.open.take().unwrap_or_default();
                    pieces.push(match Record::parse(&inside) {
                        Some(record) => Piece::Whole(record),
                        None => Piece::Stray(format!("{:?}", String::from_utf8_lossy(&inside))),
                    });
                }
                (byte, Some(open)) => open.push(byte),
                (byte, None) => self.stray.push(byte),
            }
        }
        self.end_stray(&mut pieces);
        pieces
    }

    /// What was begun and has no end yet.
    #[must_use]
    pub fn open(&self) -> Option<Option<(u64, u64)>> {
        self.open.as_deref().map(begin_of)
    }

    fn end_stray(&mut self, pieces: &mut Vec<Piece>) {
        if !self.stray.is_empty() {
            let stray = std::mem::take(&mut self.stray);
            pieces.push(Piece::Stray(format!("{:?}", String::from_utf8_lossy(&stray))));
        }
    }
}

/// Who and seq, if that much is there.
fn begin_of(cut: &[u8]) -> Option<(u64, u64)> {
    let text: Vec<&[u8]> = cut.split(|byte| *byte == b' ').collect();
    let number = |at: usize| std::str::from_utf8(text.get(at)?).ok()?.parse().ok();
    // A number is whole once something follows it.
    (text.len() > 4).then(|| Some((number(0)?, number(3)?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(frames: &[Vec<u8>]) -> Vec<u8> {
        let (mut echo, mut out) = (Echo::default(), Vec::new());
        echo.answer(b"", &mut out);
        frames.iter().for_each(|frame| echo.answer(frame, &mut out));
        out
    }

    fn frames() -> Vec<Vec<u8>> {
        (1..=5).map(|seq| Record::of(3, 99, 4, seq, b"\xff\x00\x02\x03 typed ").1).collect()
    }

    fn pieces(output: &[u8]) -> Result<Vec<Piece>, String> {
        let (mut answers, mut records) = (Answers::default(), Records::default());
        Ok(output
            .chunks(7)
            .map(|chunk| answers.feed(chunk))
            .collect::<Result<Vec<_>, _>>()?
            .iter()
            .flat_map(|typed| records.feed(typed))
            .collect())
    }

    #[test]
    fn what_was_typed_comes_out_again() {
        let found = pieces(&session(&frames())).unwrap();
        let seqs: Vec<u64> = found
            .iter()
            .map(|piece| if let Piece::Whole(record) = piece { record.seq } else { panic!("{piece:?}") })
            .collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn an_answer_lost_repeated_or_changed_is_found() {
        let whole = session(&frames());
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let mut lost = lines.clone();
        lost.remove(2);
        let mut again = lines.clone();
        again.insert(2, lines[2]);
        let mut swapped = lines.clone();
        swapped.swap(2, 3);
        for damaged in [lost, again, swapped] {
            assert!(pieces(&damaged.concat()).is_err());
        }
        for at in 0..whole.len() - 1 {
            let mut dropped = whole.clone();
            dropped.remove(at);
            let mut changed = whole.clone();
            changed[at] ^= 1;
            for damaged in [dropped, changed] {
                let found = pieces(&damaged);
                assert!(found.is_err() || found.unwrap().len() < 5, "a change at {at} is not found");
            }
        }
    }

    #[test]
    fn a_record_that_was_cut_is_a_fragment_of_somebody() {
        let (first, second) = (Record::of(3, 99, 4, 17, b"abc").1, Record::of(4, 98, 5, 1, b"def").1);
        let cut = &first[..first.len() - 3];
        let found = pieces(&session(&[cut.to_vec(), second.clone()])).unwrap();
        assert_eq!(found[0], Piece::Fragment(Some((3, 17))));
        assert!(matches!(&found[1], Piece::Whole(record) if record.who == 4));
        // Too short to say whose.
        assert_eq!(pieces(&session(&[first[..4].to_vec(), second.clone()])).unwrap()[0], Piece::Fragment(None));
        // An end without a beginning is nobody's.
        assert!(matches!(pieces(&session(&[first[5..].to_vec(), second])).unwrap()[0], Piece::Stray(_)));
    }
}
