//! A sequence's parameters as numbers.

use crate::sequence::Sequence;

/// Parameters, and separately parts behind colons, that are looked at. More are ignored, as xterm.js does.
const COUNT_MAX: usize = 32;

/// The parameters of one sequence. There is always one: a missing one is zero.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    values: [u16; COUNT_MAX],
    len: usize,
    parts: [i32; COUNT_MAX],
    /// Where the parts of each parameter are in `parts`.
    spans: [(u8, u8); COUNT_MAX],
}

impl Params {
    pub(crate) fn of(sequence: &Sequence) -> Self {
        let mut params = Self { values: [0; COUNT_MAX], len: 1, parts: [0; COUNT_MAX], spans: [(0, 0); COUNT_MAX] };
        let mut parts = 0usize;
        let mut in_part = false;
        let mut full = false;
        for &byte in &sequence.params {
            match byte {
                b';' => {
                    in_part = false;
                    if params.len == COUNT_MAX {
                        break;
                    }
                    let from = u8::try_from(parts).unwrap_or(u8::MAX);
                    params.spans[params.len] = (from, from);
                    params.len += 1;
                }
                b':' => {
                    in_part = true;
                    full = parts == COUNT_MAX;
                    if !full {
                        // Said, but empty.
                        params.parts[parts] = -1;
                        parts += 1;
                        params.spans[params.len - 1].1 += 1;
                    }
                }
                _ => {
                    let digit = byte.saturating_sub(b'0');
                    if in_part {
                        if !full {
                            let part = &mut params.parts[parts - 1];
                            *part = ((*part).max(0) * 10 + i32::from(digit)).min(i32::from(u16::MAX));
                        }
                    } else {
                        let value = &mut params.values[params.len - 1];
                        *value = value.saturating_mul(10).saturating_add(u16::from(digit));
                    }
                }
            }
        }
        params
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A parameter; zero beyond the last.
    pub(crate) fn get(&self, index: usize) -> u16 {
        if index < self.len { self.values[index] } else { 0 }
    }

    /// A count: one if it is missing or zero.
    pub(crate) fn count(&self, index: usize) -> usize {
        usize::from(self.get(index).max(1))
    }

    /// What stands behind a parameter's colons; -1 for what is empty.
    pub(crate) fn parts(&self, index: usize) -> &[i32] {
        if index >= self.len {
            return &[];
        }
        let (from, to) = self.spans[index];
        &self.parts[usize::from(from)..usize::from(to)]
    }

    /// All parameters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.values[..self.len].iter().copied()
    }
}
