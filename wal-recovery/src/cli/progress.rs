//! How far a long look has come: a line on standard error with rate and remaining time, if that is a terminal and
//! the look takes longer than a second.
//!
//! Whoever reads a file tells it ([`super::look`]); it needs no thread of its own.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the clock of a progress line; a mutex because cores are scanned in parallel"
)]

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::text::{bytes, duration};

/// Nothing is shown before.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
const BAR_CELLS: usize = 20;
const DRAWN_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Progress {
    terminal: bool,
    state: Mutex<State>,
}

struct State {
    what: &'static str,
    done: u64,
    total: u64,
    begun: Instant,
    drawn: Option<Instant>,
    /// A line stands on the terminal and must be cleared before anything else is written there.
    visible: bool,
}

impl Progress {
    pub(super) fn new(terminal: bool) -> Self {
        let begun = Instant::now();
        let state = State { what: "", done: 0, total: 0, begun, drawn: None, visible: false };
        Self { terminal, state: Mutex::new(state) }
    }

    /// Something begins that reads about `total` bytes.
    pub(super) fn begin(&self, what: &'static str, total: u64) {
        self.clear();
        let mut state = self.state();
        (state.what, state.done, state.total) = (what, 0, total);
        (state.begun, state.drawn) = (Instant::now(), None);
    }

    /// So many bytes more were read.
    pub(super) fn add(&self, count: u64) {
        let mut state = self.state();
        state.done += count;
        if !self.terminal {
            return;
        }
        let now = Instant::now();
        let elapsed = now - state.begun;
        let due = state.drawn.is_none_or(|drawn| now - drawn >= DRAWN_EVERY);
        if elapsed < SHOWN_AFTER || !due {
            return;
        }
        (state.drawn, state.visible) = (Some(now), true);
        let text = line(state.what, state.done, state.total, elapsed);
        // Beside the point if it fails.
        let _ = write!(std::io::stderr(), "\r\u{1b}[2K{text}");
    }

    /// Bytes read and time taken since the last [`Self::begin`].
    pub(super) fn so_far(&self) -> (u64, Duration) {
        let state = self.state();
        (state.done, state.begun.elapsed())
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.visible) {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What the line says.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for people"
)]
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let speed = bytes(rate as u64);
    // A file can grow while it is read.
    if done >= total || rate < 1.0 {
        return format!("{what}: {}, {speed}/s", bytes(done));
    }
    let left = Duration::from_secs_f64(((total - done) as f64 / rate).min(1e9));
    let part = done as f64 / total as f64;
    let full = "█".repeat((part * BAR_CELLS as f64) as usize);
    let (percent, left) = (part * 100.0, duration(left));
    format!("{what} {full:░<BAR_CELLS$} {percent:.0}% of {}, {speed}/s, {left} left", bytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long_still() {
        let of = |done, total, seconds| line("reading", done, total, Duration::from_secs(seconds));
        assert_eq!(
            of(1 << 30, 4 << 30, 4),
            "reading █████░░░░░░░░░░░░░░░ 25% of 4.0 GiB, 256.0 MiB/s, 12 s left"
        );
        assert_eq!(of(1 << 30, 1 << 20, 4), "reading: 1.0 GiB, 256.0 MiB/s");
        assert_eq!(of(0, 1 << 20, 4), "reading: 0 B, 0 B/s");
        assert_eq!(
            of(1 << 20, 1 << 40, 1),
            "reading ░░░░░░░░░░░░░░░░░░░░ 0% of 1.0 TiB, 1.0 MiB/s, 12 days left"
        );
    }

    /// Bytes are added this long after the beginning, and after the line was drawn; is it drawn then?
    #[track_caller]
    fn check_drawn(terminal: bool, begun: Duration, drawn: Option<Duration>, expected: bool) {
        let progress = Progress::new(terminal);
        let now = Instant::now();
        let before = drawn.map(|before| now.checked_sub(before).expect("the machine is older"));
        (progress.state().begun, progress.state().drawn) =
            (now.checked_sub(begun).expect("the machine is older"), before);
        progress.add(7);
        let state = progress.state();
        assert_eq!((state.done, state.drawn != before, state.visible), (7, expected, expected));
    }

    #[test]
    fn a_long_look_is_told_now_and_then_and_only_to_a_terminal() {
        let [long, short, never] = [Duration::from_mins(1), Duration::ZERO, Duration::from_hours(1)];
        check_drawn(true, long, None, true);
        check_drawn(true, long, Some(DRAWN_EVERY * 2), true);
        check_drawn(false, long, None, false);
        check_drawn(true, short, None, false);
        check_drawn(true, short, Some(DRAWN_EVERY * 2), false);
        // Drawn a moment ago, as far as it knows: a line that is to come is not due either.
        let progress = Progress::new(true);
        let now = Instant::now();
        progress.state().begun = now.checked_sub(long).expect("the machine is older");
        progress.state().drawn = Some(now + never);
        progress.add(7);
        assert!(progress.state().drawn == Some(now + never) && !progress.state().visible);
    }

    #[test]
    fn at_one_byte_a_second_the_rest_can_be_told() {
        assert_eq!(
            line("reading", 4, 104, Duration::from_secs(4)),
            "reading ░░░░░░░░░░░░░░░░░░░░ 4% of 104 B, 1 B/s, 100 s left"
        );
    }
}
