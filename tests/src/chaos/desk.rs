//! `baton attach` in a terminal: types command lines into a shell and looks for their answers; killed and stopped now and then.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc::UnboundedReceiver;

use super::world::{Order, Phase, Shared, World};
use crate::process::Process;
use crate::seed::Seed;
use crate::terminal::{Sought, Terminal};

/// A line that is not answered within this was typed by somebody who has no control, or into a Baton that is down.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
/// A line's number times this is its answer, which is not what was typed.
pub const FACTOR: u64 = 7;

/// Sits at the desk until the storm is over.
pub async fn sit(world: Arc<World>, session: String, shared: Arc<Shared>, mut seed: Seed) {
    let mut orders = world.enlist(&format!("{session} desk"));
    let mut line = 0;
    while world.phase() == Phase::Storm {
        let mut terminal = Terminal::baton(&world.baton, &["attach", &session], (100, 30));
        world.ledger.count("command lines started", 1);
        work(&world, &mut terminal, &mut orders, &mut line, &shared, &mut seed).await;
    }
}

/// At one command line, until it is killed, left, or ends.
async fn work(
    world: &Arc<World>,
    terminal: &mut Terminal,
    orders: &mut UnboundedReceiver<Order>,
    line: &mut u64,
    shared: &Shared,
    seed: &mut Seed,
) {
    let process = Process::find(terminal.pid());
    while world.phase() == Phase::Storm {
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Drop => {
                    world.ledger.fault("kill a command line", &terminal.pid().to_string());
                    process.iter().for_each(|process| process.signal(Signal::SIGKILL));
                    return;
                }
                Order::Half => {
                    world.ledger.fault("stop a command line", &terminal.pid().to_string());
                    process.iter().for_each(|process| process.signal(Signal::SIGSTOP));
                    tokio::time::sleep(seed.millis(100..3000)).await;
                    process.iter().for_each(|process| process.signal(Signal::SIGCONT));
                }
                Order::Detach => {
                    // Ctrl-\ is how one leaves.
                    terminal.try_type("\x1c");
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    return;
                }
                Order::Resize(cols, rows) => terminal.resize(cols, rows),
                Order::Claim(_) | Order::Release | Order::Transfer | Order::Request => {}
            }
        }
        *line += 1;
        // Ctrl-U: whatever a kill has left on the line is not a part of this one.
        if !terminal.try_type(&format!("\x15echo @$(({line}*{FACTOR}))@\r")) {
            break;
        }
        let answer = *line * FACTOR;
        match terminal.seek(&format!("@{answer}@"), ANSWER_LIMIT).await {
            Sought::Found => {
                world.ledger.count("command lines answered", 1);
                shared.shell().answered.insert(answer);
            }
            Sought::NotInTime => world.ledger.count("command lines not answered in time", 1),
            Sought::Ended => break,
        }
        tokio::time::sleep(seed.millis(5..200)).await;
    }
    if world.phase() == Phase::Storm {
        let code = terminal.code();
        world.ledger.count("command lines that ended by themselves", 1);
        let text = terminal.text();
        let tail: String = text.chars().skip(text.chars().count().saturating_sub(300)).collect();
        world.ledger.note(&format!("`baton attach` ended with {code:?}: {tail:?}"));
        if code.is_some_and(|code| code > 100 && code != 124) {
            world.ledger.violation("baton attach", &format!("ended with {code:?}: {tail:?}"));
        }
    }
}

/// What a shell wrote, as far as it can be judged: each answer once, in order.
#[derive(Debug, Default)]
pub struct Marks {
    line: Vec<u8>,
    /// Answers that came.
    pub come: Vec<u64>,
}

impl Marks {
    /// The next bytes.
    ///
    /// # Errors
    /// An answer that comes twice, or out of order.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            if *byte != b'\n' {
                // Longer lines are no answers.
                if self.line.len() < 4096 {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if let Some(answer) = answer_of(&line) {
                if self.come.last().is_some_and(|last| *last >= answer) {
                    return Err(format!(
                        "the answer {answer} comes after {:?}: typed twice, or out of order",
                        self.come.last()
                    ));
                }
                self.come.push(answer);
            }
        }
        Ok(())
    }
}

/// A line that is `@digits@`, whatever the shell wrote before it to end bracketed paste.
fn answer_of(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?.trim_end_matches('\r').strip_suffix('@')?;
    text.rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_twice_or_out_of_order_is_found() {
        let feed = |text: &str| {
            let mut marks = Marks::default();
            marks.feed(text.as_bytes()).map(|()| marks.come)
        };
        let typed = "$ echo @$((1*7))@\r\n\x1b[?2004l\r@7@\r\n$ echo @$((2*7))@\r\n@14@\r\n";
        assert_eq!(feed(typed).unwrap(), [7, 14]);
        assert!(feed(&format!("{typed}@14@\r\n")).is_err());
        assert!(feed(&format!("{typed}@7@\r\n")).is_err());
    }
}
