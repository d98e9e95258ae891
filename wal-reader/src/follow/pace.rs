//! How often a follower looks at files that nobody tells it about.
//!
//! The one place of this crate that waits. A file system could tell (inotify), but not all do, and a look costs
//! microseconds. Right after something was found it looks again soon, then less and less often.
#![allow(
    clippy::disallowed_methods,
    reason = "another process writes the files, so there is no event to wait for"
)]

use std::thread::sleep;
use std::time::Duration;

use super::error::FollowError;

/// Looks in a row that found something, but did not have to stop in the middle: with somebody at work there is always
/// something.
pub(super) const NEWS_MAX: u32 = 4;

/// The wait after a look that found nothing; doubled with each further one.
const LEAST: Duration = Duration::from_millis(1);
/// No longer than this.
const MOST: Duration = Duration::from_millis(50);

/// The waits between looks that find nothing: 1 ms, then twice as long each time, at last 50 ms, up to a limit of time.
#[derive(Debug)]
pub struct Pace {
    next: Duration,
    left: Duration,
}

impl Pace {
    /// Looks for about `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { next: LEAST, left: timeout }
    }

    /// Waits for the next look; false if the time is over. Counts the time that it waited, not that of the looks.
    pub fn wait(&mut self) -> bool {
        let wait = self.draw();
        if !wait.is_zero() {
            sleep(wait);
        }
        !wait.is_zero()
    }

    /// Calls `advance` until it is true, for about `timeout`.
    pub(super) fn until(
        timeout: Duration,
        mut advance: impl FnMut() -> Result<bool, FollowError>,
    ) -> Result<bool, FollowError> {
        let mut pace = Self::new(timeout);
        loop {
            if advance()? {
                return Ok(true);
            }
            if !pace.wait() {
                return Ok(false);
            }
        }
    }

    fn draw(&mut self) -> Duration {
        let wait = self.next.min(self.left);
        self.left -= wait;
        self.next = (self.next * 2).min(MOST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rare_and_end_with_the_time() {
        let mut pace = Pace::new(Duration::from_secs(1));
        let waits: Vec<_> = std::iter::from_fn(|| Some(pace.draw()).filter(|wait| !wait.is_zero())).collect();
        assert_eq!(waits.iter().sum::<Duration>(), Duration::from_secs(1));
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 32, 50].map(Duration::from_millis));
        assert!(waits.len() < 30, "{}", waits.len());
        assert!(!Pace::new(Duration::ZERO).wait());
    }
}
