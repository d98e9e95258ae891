//! An axis: which values it spans, where each stands between 0 and 1, and which are written beside it.
//!
//! Promises, for any points at all: every point that can be shown has a place from 0 to 1, and every tick as well; an axis
//! without a span gets one. A logarithmic axis cannot show what is not above zero, and leaves it out.

use crate::results::Scale;

/// The span of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

/// A value that is written beside the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// From 0 to 1.
    pub at: f64,
    /// What is written.
    pub text: String,
}

impl Range {
    /// Over all `values` that can be shown.
    #[must_use]
    pub fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let places: Vec<f64> = values.filter_map(|value| place(scale, value)).collect();
        let low = places.iter().copied().fold(f64::INFINITY, f64::min);
        let high = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = match scale {
            _ if places.is_empty() => (0.0, 1.0),
            Scale::Linear => (low.min(0.0), nice_above(high.max(0.0), low.min(0.0))),
            // Whole decades, so that there are ticks at both ends.
            Scale::Log => (low.floor(), high.ceil()),
            Scale::Doubling => (low, high),
            Scale::Nines => (0.0, high),
        };
        Self { scale, low, high: if high > low { high } else { low + 1.0 } }
    }

    /// Where `value` stands, from 0 to 1; nowhere if the axis cannot show it.
    #[must_use]
    pub fn at(&self, value: f64) -> Option<f64> {
        let place = place(self.scale, value)?;
        Some(((place - self.low) / (self.high - self.low)).clamp(0.0, 1.0))
    }

    /// At most about ten; `unit` is written at each if its size is better said with another one.
    #[must_use]
    pub fn ticks(&self, unit: &str) -> Vec<Tick> {
        let plain = |number: f64| if unit == "ns" { time(number) } else { plain(number) };
        let at = |place: f64| (place - self.low) / (self.high - self.low);
        let whole = |step: f64, text: &dyn Fn(f64) -> String| {
            let count = ((self.high - self.low) / step + 1e-9).floor();
            let places = (0..=to_count(count)).map(|index| self.low + f64::from(index) * step);
            places.map(|place| Tick { at: at(place).clamp(0.0, 1.0), text: text(place) }).collect()
        };
        match self.scale {
            Scale::Linear => whole(nice_step(self.high - self.low), &plain),
            Scale::Log => {
                whole(((self.high - self.low) / 8.0).ceil().max(1.0), &|place| plain(10_f64.powf(place)))
            }
            Scale::Doubling => whole(((self.high - self.low) / 10.0).ceil(), &|place| plain(place.exp2())),
            Scale::Nines => whole(((self.high - self.low) / 10.0).ceil(), &percentile),
        }
    }
}

/// What the scale makes of a value.
fn place(scale: Scale, value: f64) -> Option<f64> {
    let place = match scale {
        Scale::Linear => value,
        Scale::Log => value.log10(),
        Scale::Doubling => value.log2(),
        Scale::Nines => -(1.0 - value).log10(),
    };
    let is_shown = match scale {
        Scale::Linear => true,
        Scale::Log | Scale::Doubling => value > 0.0,
        Scale::Nines => (0.0..1.0).contains(&value),
    };
    // Minus zero is written with its sign.
    (is_shown && place.is_finite()).then_some(place + 0.0)
}

/// Of 1, 2 and 5 times a power of ten, the one that makes four to ten steps.
fn nice_step(span: f64) -> f64 {
    let rough = (span / 5.0).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough * 0.999);
    step.unwrap_or(10.0) * power
}

/// The end of the step that holds `high`.
fn nice_above(high: f64, low: f64) -> f64 {
    if high <= low {
        return low + 1.0;
    }
    let step = nice_step(high - low);
    low + ((high - low) / step - 1e-9).ceil() * step
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
fn to_count(count: f64) -> u32 {
    count.clamp(0.0, 64.0) as u32
}

/// A round number, short.
fn plain(number: f64) -> String {
    let size = number.abs();
    let (number, suffix) = match size {
        _ if size >= 0.9995e9 => (number / 1e9, "G"),
        _ if size >= 0.9995e6 => (number / 1e6, "M"),
        _ if size >= 0.9995e4 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

/// A round number of nanoseconds, in the unit that leaves it short.
fn time(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")];
    let (size, unit) = units.into_iter().find(|(size, _)| ns.abs() >= size * 0.9995).unwrap_or((1.0, "ns"));
    format!("{} {unit}", plain(ns / size))
}

/// Of a count of nines.
fn percentile(nines: f64) -> String {
    match to_count(nines.round()) {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more as usize - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const SCALES: [Scale; 4] = [Scale::Linear, Scale::Log, Scale::Doubling, Scale::Nines];

    #[track_caller]
    fn check(scale: Scale, values: &[f64]) {
        let range = Range::over(scale, values.iter().copied());
        let inside = |at: f64| (0.0..=1.0).contains(&at);
        let shown: Vec<f64> = values.iter().filter_map(|value| range.at(*value)).collect();
        assert!(shown.iter().all(|at| inside(*at)), "{scale:?} {values:?}: {shown:?}");
        let ticks = range.ticks("");
        assert!(ticks.iter().all(|tick| inside(tick.at)), "{scale:?} {values:?}: {ticks:?}");
        assert!(ticks.len() <= 14, "{scale:?} {values:?}: {} ticks", ticks.len());
        assert!(ticks.windows(2).all(|two| two[0].at < two[1].at), "{scale:?} {values:?}: {ticks:?}");
    }

    #[test]
    fn all_points_and_ticks_are_inside() {
        let odd = [0.0, -1.0, 1.0, 1e-9, 1e12, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5, 0.9999];
        for scale in SCALES {
            check(scale, &[]);
            for one in odd {
                check(scale, &[one]);
                odd.iter().for_each(|other| check(scale, &[one, *other]));
            }
            for seed in 0..300 {
                let mut random = Random::new(seed);
                let size = 10_f64.powi(i32::try_from(random.within(0..12)).expect("small") - 3);
                let values: Vec<f64> = (0..random.within(1..20))
                    .map(|_| random.within(0..1_000_000) as f64 / 1e6 * size)
                    .collect();
                check(scale, &values);
            }
        }
    }

    #[test]
    fn order_on_the_axis_is_order_of_the_values() {
        let values = [0.1, 0.5, 0.9, 0.99, 0.9999];
        for scale in SCALES {
            let range = Range::over(scale, values.into_iter());
            let at: Vec<f64> = values.iter().filter_map(|value| range.at(*value)).collect();
            assert_eq!(at.len(), values.len());
            assert!(at.windows(2).all(|two| two[0] < two[1]), "{scale:?}: {at:?}");
        }
    }

    #[test]
    fn ticks_are_round() {
        let texts = |scale, unit, values: &[f64]| -> Vec<String> {
            Range::over(scale, values.iter().copied()).ticks(unit).into_iter().map(|tick| tick.text).collect()
        };
        assert_eq!(texts(Scale::Linear, "", &[3.0, 97.0]), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(texts(Scale::Log, "k", &[12.0, 23_000.0]), ["10", "100", "1000", "10k", "100k"]);
        assert_eq!(
            texts(Scale::Log, "ns", &[12.0, 23_000.0]),
            ["10 ns", "100 ns", "1 us", "10 us", "100 us"]
        );
        assert_eq!(texts(Scale::Doubling, "", &[1.0, 4.0]), ["1", "2", "4"]);
        assert_eq!(texts(Scale::Nines, "", &[0.5, 0.9999]), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
