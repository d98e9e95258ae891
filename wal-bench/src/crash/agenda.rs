//! Which kill comes next: at a named point, each at least once, or at a random moment.
//!
//! Pure: what became of a kill is told, what comes next is asked.

use std::collections::BTreeMap;

use super::points::{KillAt, Point};
use crate::random::Random;

/// What was reached so far, and what is still to be.
pub(super) struct Agenda {
    /// Points, how often each was aimed at and how often reached.
    points: BTreeMap<Point, Visits>,
    /// One alone was asked for.
    is_single: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Visits {
    aimed: u64,
    reached: u64,
}

impl Agenda {
    /// All `points`, or one of them. Without points, all kills are random.
    pub(super) fn new(points: impl IntoIterator<Item = Point>, only: Option<Point>) -> Self {
        let points = points.into_iter().filter(|point| only.is_none_or(|only| only == *point));
        let points = points.map(|point| (point, Visits::default())).collect();
        Self { points, is_single: only.is_some() }
    }

    /// The next kill; `None` is a random moment. `is_new`: there is no log in the directory yet.
    pub(super) fn next(&mut self, random: &mut Random, is_new: bool) -> Option<KillAt> {
        // Later, as many at random moments as at points reached before.
        if !self.is_single && (random.one_in(5) || self.unreached().next().is_none() && random.one_in(2)) {
            return None;
        }
        let fits = |point: &Point| is_new || !point.is_of_a_new_log();
        let first = |(point, visits): (&Point, &Visits)| {
            let is_rare = is_new && point.is_of_a_new_log();
            (visits.reached > 0, !is_rare, visits.aimed, *point)
        };
        let fitting = self.points.iter().filter(|(point, _)| fits(point));
        let (is_reached, _, aimed, mut point) = fitting.map(first).min()?;
        if is_reached {
            let fitting: Vec<_> = self.points.keys().copied().filter(fits).collect();
            point = fitting[usize::try_from(random.within(0..fitting.len() as u64)).unwrap_or(0)];
        }
        self.points.entry(point).or_default().aimed += 1;
        // Not reached the last time: no more patience than it takes.
        let spread = match (is_reached, aimed) {
            (false, 1..) => 0,
            _ if point.is_busy() => random.within(0..17),
            _ => random.within(0..4),
        };
        Some(KillAt { point, visit: 1 + random.within(0..1 << spread) })
    }

    /// A kill was at this point.
    pub(super) fn reached(&mut self, point: Point) {
        self.points.entry(point).or_default().reached += 1;
    }

    /// Whether only a new log has what is left to be reached.
    pub(super) fn wants_new_log(&self) -> bool {
        let mut left: Vec<_> = self.unreached().collect();
        if self.is_single {
            left = self.points.keys().copied().collect();
        }
        !left.is_empty() && left.iter().all(|point| point.is_of_a_new_log())
    }

    /// Points at which nothing was killed yet.
    pub(super) fn unreached(&self) -> impl Iterator<Item = Point> + '_ {
        self.points.iter().filter(|(_, visits)| visits.reached == 0).map(|(point, _)| *point)
    }

    /// How many points there are, and how many kills were at one.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.points.len() as u64, self.points.values().map(|visits| visits.reached).sum())
    }

    /// Whether so many kills were enough to have been everywhere.
    pub(super) fn is_complete_after(&self, kills: u64) -> bool {
        kills < 2 * self.points.len() as u64 || self.unreached().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_aimed_at_and_those_of_a_new_log_only_there() {
        let mut agenda = Agenda::new(Point::all(), None);
        let mut random = Random::new(1);
        let count = Point::all().count() as u64;
        let mut kills = 0;
        while agenda.unreached().next().is_some() {
            let is_new = kills % 7 == 0;
            if let Some(kill_at) = agenda.next(&mut random, is_new) {
                assert!(is_new || !kill_at.point.is_of_a_new_log());
                agenda.reached(kill_at.point);
            }
            kills += 1;
            assert!(kills < 2 * count, "too many kills for {count} points");
        }
        assert!(agenda.is_complete_after(kills));
    }

    #[test]
    fn a_point_that_is_never_reached_makes_a_long_run_incomplete_and_is_aimed_at_again_without_patience() {
        let mut agenda = Agenda::new(Point::all(), None);
        let mut random = Random::new(2);
        let never = Point::all().nth(3).expect("a point");
        let mut aimed = 0;
        for _ in 0..400 {
            match agenda.next(&mut random, true) {
                Some(kill_at) if kill_at.point == never => {
                    assert!(aimed == 0 || kill_at.visit == 1);
                    aimed += 1;
                }
                Some(kill_at) => agenda.reached(kill_at.point),
                None => {}
            }
        }
        assert!(aimed > 10);
        assert_eq!(agenda.unreached().collect::<Vec<_>>(), [never]);
        assert!(!agenda.is_complete_after(400) && agenda.is_complete_after(10));
    }

    #[test]
    fn one_point_alone_is_all_there_is() {
        let only = Point::all().nth(5).expect("a point");
        let mut agenda = Agenda::new(Point::all(), Some(only));
        let mut random = Random::new(3);
        for _ in 0..50 {
            let kill_at = agenda.next(&mut random, false).expect("never at random");
            assert_eq!(kill_at.point, only);
            agenda.reached(only);
        }
        assert_eq!(agenda.counts(), (1, 50));
    }
}
