//! Whoever watches over the agent: systemd, where it started it, and a thread of its own.

use std::{
    io::Write as _,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

/// Between looks of the thread.
const PERIOD: Duration = Duration::from_secs(5);
/// After so many looks without a reading in between the agent does not come back by itself.
const MOST_STALLS: u32 = 6;

/// Tells them how the agent fares. Receivers that do not answer are no concern of theirs.
pub(super) struct Supervision {
    /// Readings so far.
    alive: Arc<AtomicU64>,
}

impl Supervision {
    /// From now on the agent has to be alive.
    pub(super) fn start() -> Supervision {
        let alive = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&alive);
        // Without a thread there is still whoever started the agent.
        let _ = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watch(&seen));
        Supervision { alive }
    }

    /// A reading was taken, or failed and was told.
    pub(super) fn alive(&self) {
        self.alive.fetch_add(1, Ordering::Relaxed);
        notify(&[NotifyState::Watchdog]);
    }
}

/// The agent observes and exports.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its settings anew.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// It delivers the last interval, for so long at most.
pub(super) fn stopping(most: Duration) {
    let most = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(most)]);
}

/// Looks without a reading in between.
#[derive(Debug, Default)]
struct Stalls {
    last: u64,
    number: u32,
}

impl Stalls {
    /// Takes in a look; whether there were too many in a row. After a late one the agent may have
    /// had no CPU either.
    fn note(&mut self, alive: u64, is_late: bool) -> bool {
        let moved = std::mem::replace(&mut self.last, alive) != alive;
        self.number = match (moved, is_late) {
            (true, _) => 0,
            (false, true) => self.number,
            (false, false) => self.number + 1,
        };
        self.number >= MOST_STALLS
    }
}

/// Ends a process that hangs; whoever started it starts it again.
fn watch(alive: &AtomicU64) {
    let mut stalls = Stalls::default();
    loop {
        let before = Instant::now();
        thread::sleep(PERIOD);
        let is_late = before.elapsed() > 2 * PERIOD;
        if stalls.note(alive.load(Ordering::Relaxed), is_late) {
            let seconds = MOST_STALLS * PERIOD.as_secs() as u32;
            let told = format!("no reading for {seconds} s: the agent hangs, and ends\n");
            let _ = std::io::stderr().write_all(told.as_bytes());
            process::abort();
        }
    }
}

/// Without systemd there is nobody to tell, and one that does not listen is not missed.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hanging_agent_is_told_from_a_starved_one() {
        let mut stalls = Stalls::default();
        assert!(!stalls.note(1, false));
        for _ in 1..MOST_STALLS {
            assert!(!stalls.note(1, false));
            assert!(!stalls.note(1, true));
        }
        assert!(stalls.note(1, false));
        assert!(!stalls.note(2, false));
        assert!(!stalls.note(2, false));
    }
}
