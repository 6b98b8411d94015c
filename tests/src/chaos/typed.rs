//! The rules of input, judged by what the program read and by what its typists were told.

use std::collections::BTreeMap;

use super::echoed::{Piece, Record};

/// What became of a frame, as its typist was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was said yet.
    Sent,
    /// The kernel took it.
    Acknowledged,
    /// Nobody knows.
    Uncertain,
    /// None of it, or none of the rest of it, is typed.
    Refused,
}

#[derive(Debug)]
struct Frame {
    record: Record,
    fate: Fate,
    typed: bool,
}

/// Everything typed into one session, by everybody.
#[derive(Debug, Default)]
pub struct Typed {
    /// By stream and seq: streams are random, and each is one typist's.
    frames: BTreeMap<(u64, u64), Frame>,
    /// Highest seq seen by the program, by stream.
    last: BTreeMap<u64, u64>,
    epoch: u64,
    /// Whose each epoch is.
    owners: BTreeMap<u64, u64>,
    fragments: u64,
    /// Frames that were acknowledged.
    pub acknowledged: u64,
    /// Frames that were told to be uncertain.
    pub uncertain: u64,
    /// Frames that the program read whole.
    pub read: u64,
    /// Frames that were refused.
    pub refused: u64,
}

impl Typed {
    /// A frame is about to be sent for the first time.
    pub fn sending(&mut self, record: Record) {
        self.frames.insert((record.stream, record.seq), Frame { record, fate: Fate::Sent, typed: false });
    }

    /// `input_ack`, or `ready.input_seq`: everything of the stream up to `seq` was taken, or was told to be uncertain.
    pub fn acknowledged(&mut self, stream: u64, seq: u64) {
        for frame in self.frames.range_mut((stream, 0)..=(stream, seq)).map(|(_, frame)| frame) {
            if frame.fate == Fate::Sent {
                frame.fate = Fate::Acknowledged;
                self.acknowledged += 1;
            }
        }
    }

    /// `input_uncertain`.
    pub fn uncertain(&mut self, stream: u64, seq: u64) -> Result<(), String> {
        let Some(frame) = self.frames.get_mut(&(stream, seq)) else {
            return Err(format!("seq {seq} of stream {stream} was told to be uncertain and never sent"));
        };
        match frame.fate {
            // Told before; or a change of owner cut it off, was told as a refusal, and whoever comes back hears of it again.
            Fate::Uncertain | Fate::Refused => return Ok(()),
            Fate::Acknowledged => self.acknowledged -= 1,
            Fate::Sent => {}
        }
        self.uncertain += 1;
        frame.fate = Fate::Uncertain;
        Ok(())
    }

    /// A refusal: what was sent under the same epoch behind `accepted` is not typed.
    pub fn refused(&mut self, stream: u64, epoch: u64, accepted: u64) {
        for frame in self.frames.range_mut((stream, accepted + 1)..=(stream, u64::MAX)).map(|(_, frame)| frame) {
            if frame.fate == Fate::Sent && frame.record.epoch == epoch {
                frame.fate = Fate::Refused;
                self.refused += 1;
            }
        }
    }

    /// The program read this.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn read(&mut self, piece: Piece) -> Result<(), String> {
        let record = match piece {
            Piece::Stray(text) => return Err(format!("the program read what nobody sent: {text}")),
            Piece::Fragment(_) => {
                self.fragments += 1;
                return Ok(());
            }
            Piece::Whole(record) => record,
        };
        let Record { who, stream, epoch, seq, .. } = record;
        let Some(frame) = self.frames.get_mut(&(stream, seq)).filter(|frame| frame.record == record) else {
            return Err(format!("the program read what nobody sent: {record:?}"));
        };
        if frame.typed {
            return Err(format!("typed twice: {record:?}"));
        }
        frame.typed = true;
        self.read += 1;
        if frame.fate == Fate::Refused {
            return Err(format!("refused, and typed: {record:?}"));
        }
        let last = self.last.insert(stream, seq).unwrap_or(0);
        if seq <= last {
            return Err(format!("out of order: {record:?} after seq {last}"));
        }
        if epoch < self.epoch {
            return Err(format!("a stale writer: {record:?} after epoch {}", self.epoch));
        }
        self.epoch = epoch;
        let owner = *self.owners.entry(epoch).or_insert(who);
        if owner != who {
            return Err(format!("two writers under one epoch: {record:?} after typist {owner}"));
        }
        Ok(())
    }

    /// What the program read is told once more, from the beginning.
    pub fn forget_what_was_read(&mut self) {
        self.frames.values_mut().for_each(|frame| frame.typed = false);
        self.last.clear();
        self.owners.clear();
        (self.epoch, self.fragments, self.read) = (0, 0, 0);
    }

    /// Frames of which nothing was said yet.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.frames.values().filter(|frame| frame.fate == Fate::Sent).count() as u64
    }

    /// What is wrong once everybody has been told everything and the program has read everything. `worker_deaths` and
    /// `lease_changes` bound how much may be uncertain: a frame of whoever is away is cut off by a change of the lease, too.
    #[must_use]
    pub fn settle(&self, worker_deaths: u64, lease_changes: u64) -> Vec<String> {
        let mut wrong = Vec::new();
        for frame in self.frames.values() {
            match (frame.fate, frame.typed) {
                (Fate::Acknowledged, false) => wrong.push(format!("acknowledged, and never typed: {:?}", frame.record)),
                (Fate::Refused, true) => wrong.push(format!("refused, and typed: {:?}", frame.record)),
                (Fate::Sent, _) => wrong.push(format!("never answered: {:?}", frame.record)),
                _ => {}
            }
        }
        if self.uncertain > worker_deaths + lease_changes {
            let uncertain = self.uncertain;
            wrong.push(format!(
                "{uncertain} frames uncertain for {worker_deaths} deaths of the worker and {lease_changes} changes of the lease"
            ));
        }
        if self.fragments > self.uncertain + lease_changes {
            let (fragments, uncertain) = (self.fragments, self.uncertain);
            wrong.push(format!(
                "{fragments} frames cut off for {uncertain} uncertain ones and {lease_changes} changes of the lease"
            ));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(who: u64, epoch: u64, seq: u64) -> Record {
        Record::of(who, 100 + who, epoch, seq, b"abc").0
    }

    /// Two typists, one after the other; each typed three frames that were acknowledged.
    fn told() -> Typed {
        let mut typed = Typed::default();
        for (who, epoch) in [(1, 5), (2, 6)] {
            (1..=3).for_each(|seq| typed.sending(record(who, epoch, seq)));
            typed.acknowledged(100 + who, 3);
        }
        typed
    }

    fn whole() -> Vec<Piece> {
        [(1, 5, 1), (1, 5, 2), (1, 5, 3), (2, 6, 1), (2, 6, 2), (2, 6, 3)]
            .map(|(who, epoch, seq)| Piece::Whole(record(who, epoch, seq)))
            .to_vec()
    }

    fn judge(mut typed: Typed, pieces: Vec<Piece>) -> Vec<String> {
        let mut wrong: Vec<String> = pieces.into_iter().filter_map(|piece| typed.read(piece).err()).collect();
        wrong.extend(typed.settle(0, 0));
        wrong
    }

    #[test]
    fn what_follows_the_rules_breaks_none() {
        assert!(judge(told(), whole()).is_empty());
    }

    #[test]
    fn input_lost_doubled_or_out_of_order_is_found() {
        let mut lost = whole();
        lost.remove(1);
        assert!(judge(told(), lost)[0].contains("never typed"));
        let mut doubled = whole();
        doubled.insert(2, doubled[1].clone());
        assert!(judge(told(), doubled)[0].contains("twice"));
        let mut swapped = whole();
        swapped.swap(0, 1);
        assert!(judge(told(), swapped)[0].contains("out of order"));
        assert!(judge(told(), vec![Piece::Whole(record(9, 9, 9))])[0].contains("nobody sent"));
    }

    #[test]
    fn a_stale_writer_is_found() {
        let mut stale = whole();
        stale.swap(2, 3);
        assert!(judge(told(), stale)[0].contains("stale writer"));
        let mut typed = told();
        typed.sending(record(3, 6, 1));
        typed.acknowledged(103, 1);
        let mut pieces = whole();
        pieces.push(Piece::Whole(record(3, 6, 1)));
        assert!(judge(typed, pieces)[0].contains("two writers"));
    }

    #[test]
    fn refused_input_is_not_typed_and_silence_is_no_answer() {
        let mut typed = told();
        typed.sending(record(1, 5, 4));
        assert!(judge(typed, whole())[0].contains("never answered"));
        let mut typed = told();
        typed.sending(record(1, 5, 4));
        typed.refused(101, 5, 3);
        assert!(judge(typed, whole()).is_empty());
        let mut typed = told();
        typed.sending(record(2, 6, 4));
        typed.refused(102, 6, 3);
        let mut pieces = whole();
        pieces.push(Piece::Whole(record(2, 6, 4)));
        assert!(judge(typed, pieces)[0].contains("refused, and typed"));
    }

    #[test]
    fn uncertain_input_is_one_frame_a_death() {
        let mut lost = whole();
        lost.remove(1);
        let mut typed = told();
        typed.uncertain(101, 2).unwrap();
        assert_eq!((typed.acknowledged, typed.uncertain), (5, 1));
        let mut wrong: Vec<String> = lost.iter().cloned().filter_map(|piece| typed.read(piece).err()).collect();
        wrong.extend(typed.settle(1, 0));
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(typed.settle(0, 0).len(), 1, "nobody died");
        typed.uncertain(101, 2).unwrap();
        assert_eq!(typed.uncertain, 1, "it is told at each attach");
        assert!(typed.uncertain(101, 77).is_err());
        typed.read(Piece::Fragment(None)).unwrap();
        assert!(typed.settle(1, 0).is_empty());
        typed.read(Piece::Fragment(None)).unwrap();
        assert_eq!(typed.settle(1, 0).len(), 1, "cut off, and nobody was told");
    }
}
