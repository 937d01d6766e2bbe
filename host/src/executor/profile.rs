//! A value over time, in straight lines: a number of VUs, or a rate.
//!
//! Pure, and the same on every node and thread: each works out from it what its
//! own share has to do, so that nobody has to tell them. Times are seconds since
//! the scenario's start; nothing is summed up step by step, so nothing drifts
//! however long a run is.

use std::time::Duration;

use crate::plan::{Executor, Share};

/// A value that is made of straight lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// In order, without gaps. Never empty.
    lines: Vec<Line>,
    end: f64,
}

/// A stretch of time in which the value goes in a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// When it begins.
    start: f64,
    /// How long it is.
    time: f64,
    from: f64,
    to: f64,
    /// The integral up to its start.
    area: f64,
}

/// Rounding alone does not make a VU or an arrival more.
const NEXT_TO_NOTHING: f64 = 1e-6;

impl Line {
    fn slope(&self) -> f64 {
        (self.to - self.from) / self.time
    }

    fn value(&self, after: f64) -> f64 {
        self.from + self.slope() * after
    }

    /// The integral over its first seconds.
    fn area(&self, after: f64) -> f64 {
        (self.from + self.slope() * after / 2.0) * after
    }

    /// After which time the integral comes to `area`: the root of
    /// `from*t + slope*t²/2 = area` in the form that loses no digits when the
    /// slope is next to nothing.
    fn reach(&self, area: f64) -> f64 {
        let root = (self.from * self.from + 2.0 * self.slope() * area).max(0.0);
        let divisor = self.from + root.sqrt();
        if divisor > 0.0 {
            (2.0 * area / divisor).clamp(0.0, self.time)
        } else {
            0.0
        }
    }
}

impl Profile {
    /// The same value for a time that is not zero.
    pub fn constant(value: f64, time: Duration) -> Self {
        Self::stages(value, [(time, value)])
    }

    /// From a value to others, each in its time. Stages that take no time are
    /// jumps; they must not all be.
    pub fn stages(start: f64, stages: impl IntoIterator<Item = (Duration, f64)>) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        let (mut from, mut at, mut area) = (start, Duration::ZERO, 0.0);
        for (time, to) in stages {
            if !time.is_zero() {
                let line = Line {
                    start: at.as_secs_f64(),
                    time: time.as_secs_f64(),
                    from,
                    to,
                    area,
                };
                area += line.area(line.time);
                lines.push(line);
                at += time;
            }
            from = to;
        }
        assert!(!lines.is_empty(), "stages last some time");
        Self {
            lines,
            end: at.as_secs_f64(),
        }
    }

    /// What an executor's stages come to: VUs, or iterations a second.
    pub fn of(executor: &Executor) -> Self {
        match executor {
            Executor::ConstantVus { vus, duration } => {
                Self::constant(f64::from(vus.get()), *duration)
            }
            Executor::PerVuIterations {
                vus, max_duration, ..
            }
            | Executor::SharedIterations {
                vus, max_duration, ..
            } => Self::constant(f64::from(vus.get()), *max_duration),
            Executor::RampingVus {
                start_vus, stages, ..
            } => {
                let stages = stages.iter();
                let stages = stages.map(|stage| (stage.duration, f64::from(stage.target)));
                Self::stages(f64::from(*start_vus), stages)
            }
            Executor::ConstantArrivalRate { rate, duration, .. } => {
                Self::constant(rate.per_s(), *duration)
            }
            Executor::RampingArrivalRate {
                start_rate, stages, ..
            } => {
                let stages = stages.iter();
                let stages = stages.map(|stage| (stage.duration, stage.target.per_s()));
                Self::stages(start_rate.per_s(), stages)
            }
        }
    }

    /// When it ends.
    pub fn end(&self) -> f64 {
        self.end
    }

    /// The value at a time, which for a jump is the value after it.
    pub fn value(&self, at: f64) -> f64 {
        let line = self.line(at);
        line.value((at - line.start).clamp(0.0, line.time))
    }

    /// The integral from the start: for a rate, how many arrivals there were.
    pub fn area(&self, at: f64) -> f64 {
        let line = self.line(at);
        line.area + line.area((at - line.start).clamp(0.0, line.time))
    }

    /// When the integral goes beyond `area`: the time of the arrival that has so
    /// many before it. `None` if it never does.
    pub fn reach(&self, area: f64) -> Option<f64> {
        if area > self.area(self.end) - NEXT_TO_NOTHING {
            return None;
        }
        let next = self.lines.partition_point(|line| line.area <= area);
        let line = &self.lines[next.saturating_sub(1)];
        Some(line.start + line.reach(area - line.area))
    }

    /// The value at a time, if it is the same from there to the end.
    pub fn settled(&self, at: f64) -> Option<f64> {
        let value = self.value(at);
        let rest = &self.lines[self.number(at)..];
        rest.iter()
            .all(|line| line.from == value && line.to == value)
            .then_some(value)
    }

    /// When the value first is the largest that it ever is.
    pub fn peak(&self) -> f64 {
        let mut peak = (0.0, self.lines[0].from);
        for line in &self.lines {
            for (at, value) in [(line.start, line.from), (line.start + line.time, line.to)] {
                if value > peak.1 {
                    peak = (at, value);
                }
            }
        }
        peak.0
    }

    /// How many of a share's VUs there are from a time on: VU `k` is there while
    /// the value is above `k`.
    pub fn vus(&self, at: f64, share: Share) -> u32 {
        let vus = share.dealt(self.whole(at));
        u32::try_from(vus).unwrap_or(u32::MAX)
    }

    /// The number of VUs over all shares from a time on.
    fn whole(&self, at: f64) -> u64 {
        let line = self.line(at);
        let value = line.value((at - line.start).clamp(0.0, line.time));
        // Just after it reached a whole number, a rising value is above it.
        let vus = if line.to > line.from && at < self.end {
            (value + NEXT_TO_NOTHING).floor() + 1.0
        } else {
            (value - NEXT_TO_NOTHING).ceil()
        };
        vus.max(0.0) as u64
    }

    /// When after a time the number of a share's VUs is next another one, if it
    /// ever is.
    pub fn next_change(&self, at: f64, share: Share) -> Option<f64> {
        let first = self.number(at);
        let vus = self.vus(at, share);
        let mut whole = self.whole(at);
        for (number, line) in self.lines.iter().enumerate().skip(first) {
            if number > first {
                if self.vus(line.start, share) != vus {
                    return Some(line.start);
                }
                whole = self.whole(line.start);
            }
            // The value at which the next of the share's VUs comes or goes.
            let level = if line.to > line.from {
                share.item(share.dealt(whole)) as f64
            } else if vus > 0 {
                share.item(u64::from(vus) - 1) as f64
            } else {
                continue;
            };
            let crosses = match line.to > line.from {
                true => level < line.to,
                false => level >= line.to && line.to < line.from,
            };
            if crosses {
                return Some(line.start + (level - line.from) / line.slope());
            }
        }
        None
    }

    /// The same up to a time, and from there on one value to the same end.
    #[must_use]
    pub fn replaced(&self, at: f64, value: f64) -> Self {
        if at >= self.end {
            return self.clone();
        }
        let at = at.max(0.0);
        let number = self.number(at);
        let mut lines = self.lines[..number].to_vec();
        let cut = &self.lines[number];
        let time = at - cut.start;
        if time > 0.0 {
            lines.push(Line {
                time,
                to: cut.value(time),
                ..*cut
            });
        }
        lines.push(Line {
            start: at,
            time: self.end - at,
            from: value,
            to: value,
            area: self.area(at),
        });
        Self {
            lines,
            end: self.end,
        }
    }

    fn number(&self, at: f64) -> usize {
        let next = self.lines.partition_point(|line| line.start <= at);
        next.saturating_sub(1)
    }

    fn line(&self, at: f64) -> &Line {
        &self.lines[self.number(at)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile(start: f64, stages: &[(u64, f64)]) -> Profile {
        let stages = stages.iter();
        let stages = stages.map(|(millis, to)| (Duration::from_millis(*millis), *to));
        Profile::stages(start, stages)
    }

    fn profiles() -> impl Strategy<Value = Profile> {
        let value = || prop_oneof![Just(0.0), (0u32..2_000).prop_map(f64::from), 0.0..500.0];
        let stage = (prop_oneof![Just(0u64), 1u64..100_000], value());
        (value(), prop::collection::vec(stage, 0..6), 1u64..50_000).prop_map(
            |(start, mut stages, last)| {
                stages.push((last, start));
                profile(start, &stages)
            },
        )
    }

    /// By how much the value goes up and down between two points in time.
    fn spread(profile: &Profile, a: f64, b: f64) -> f64 {
        let lines = profile.lines.iter();
        let values = lines.flat_map(|line| {
            let (from, to) = (a.max(line.start), b.min(line.start + line.time));
            let ends = (from <= to).then(|| [from, to].map(|at| line.value(at - line.start)));
            ends.into_iter().flatten()
        });
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        most - least
    }

    fn share(index: u32, of: u32) -> Share {
        Share::new(index, of).expect("the index is in range")
    }

    proptest! {
        #[test]
        fn the_integral_grows_and_is_that_of_the_value(profile in profiles()) {
            let steps = 500;
            let at = |step: u32| profile.end() * f64::from(step) / f64::from(steps);
            let mut sum = 0.0;
            let mut jumps = 0.0;
            for step in 0..steps {
                let (a, b) = (at(step), at(step + 1));
                prop_assert!(profile.area(b) >= profile.area(a));
                sum += (profile.value(a) + profile.value(b)) / 2.0 * (b - a);
                jumps += spread(&profile, a, b) * (b - a);
            }
            // A jump or a bend within a step is what the sum misses.
            prop_assert!((sum - profile.area(profile.end())).abs() <= jumps + 1e-6);
        }

        #[test]
        fn arrivals_are_the_inverse_of_the_integral(
            profile in profiles(),
            part in 0.0..1.0f64,
        ) {
            let total = profile.area(profile.end());
            let area = (total * part).floor();
            if let Some(at) = profile.reach(area) {
                prop_assert!((profile.area(at) - area).abs() < 1e-4, "{area} at {at}");
                prop_assert!((0.0..=profile.end()).contains(&at));
                let next = profile.reach(area + 1.0);
                prop_assert!(next.is_none_or(|next| next >= at));
            } else {
                prop_assert!(area > total - 1e-3);
            }
        }

        #[test]
        fn the_vus_of_all_shares_add_up_at_every_instant(
            profile in profiles(),
            of in 1u32..9,
            part in 0.0..1.0f64,
        ) {
            let at = profile.end() * part;
            let vus: u32 = (0..of).map(|index| profile.vus(at, share(index, of))).sum();
            prop_assert_eq!(vus, profile.vus(at, Share::WHOLE));
            prop_assert!((f64::from(vus) - profile.value(at)).abs() <= 1.0 + 1e-3);
        }

        #[test]
        fn no_change_of_a_share_is_missed(profile in profiles(), of in 1u32..4) {
            let share = share(of - 1, of);
            let mut at = 0.0;
            let mut vus = profile.vus(at, share);
            let mut changes = 0;
            while let Some(next) = profile.next_change(at, share) {
                prop_assert!(next >= at, "from {at} back to {next}");
                for part in [0.2, 0.5, 0.8] {
                    let between = at + (next - at) * part;
                    // Within rounding of a change either number is right.
                    if (next - at) > 1e-3 {
                        prop_assert_eq!(profile.vus(between, share), vus, "at {}", between);
                    }
                }
                let after = next + 1e-7;
                vus = profile.vus(after, share);
                at = after;
                changes += 1;
                prop_assert!(changes < 20_000);
            }
        }

        #[test]
        fn what_was_is_kept_when_the_rest_is_replaced(
            profile in profiles(),
            part in 0.0..1.0f64,
            value in 0.0..1_000.0f64,
        ) {
            let at = profile.end() * part;
            let replaced = profile.replaced(at, value);
            prop_assert_eq!(replaced.end(), profile.end());
            for earlier in [0.0, at * 0.3, at * 0.9] {
                prop_assert!((replaced.area(earlier) - profile.area(earlier)).abs() < 1e-6);
            }
            let later = at + (profile.end() - at) * 0.7;
            let grown = replaced.area(later) - replaced.area(at);
            prop_assert!((grown - value * (later - at)).abs() < 1e-4);
            prop_assert_eq!(replaced.value(later), value);
            prop_assert_eq!(replaced.settled(later), Some(value));
        }
    }

    #[test]
    fn a_ramp_starts_its_iterations_where_its_integral_says() {
        // 0 to 10 a second in 10 s: 50 in all, the k-th at sqrt(2k).
        let ramp = profile(0.0, &[(10_000, 10.0)]);
        for k in 0..50 {
            let at = ramp.reach(f64::from(k)).expect("one of 50");
            assert!((at - f64::from(2 * k).sqrt()).abs() < 1e-9, "{k}: {at}");
        }
        assert_eq!(ramp.reach(50.0), None);
        // Down again: as many, mirrored.
        let down = profile(10.0, &[(10_000, 0.0)]);
        let last = down.reach(49.5).expect("before the end");
        assert!((last - 9.0).abs() < 1e-9, "{last}");
    }

    #[test]
    fn nothing_drifts_in_a_day_at_ten_thousand_a_second() {
        let day = Profile::constant(10_000.0, Duration::from_secs(86_400));
        for k in [0u64, 1, 9_999, 431_999_999, 863_999_998, 863_999_999] {
            let at = day.reach(k as f64).expect("one of the day's");
            let exact = k as f64 / 10_000.0;
            assert!((at - exact).abs() < 2e-11, "{k}: {at}");
        }
        assert_eq!(day.reach(864_000_000.0), None);
    }

    #[test]
    fn a_rate_of_nothing_starts_nothing() {
        let late = profile(0.0, &[(5_000, 0.0), (0, 2.0), (1_000, 2.0), (3_000, 0.0)]);
        assert_eq!(late.reach(0.0), Some(5.0));
        assert_eq!(late.reach(1.0), Some(5.5));
    }

    #[test]
    fn vus_come_and_go_one_by_one() {
        let ramp = profile(
            0.0,
            &[
                (4_000, 4.0),
                (1_000, 4.0),
                (2_000, 2.0),
                (0, 0.0),
                (1_000, 0.0),
            ],
        );
        let mut changes = vec![(0.0, ramp.vus(0.0, Share::WHOLE))];
        while let Some(at) = ramp.next_change(changes[changes.len() - 1].0, Share::WHOLE) {
            changes.push((at, ramp.vus(at, Share::WHOLE)));
        }
        assert_eq!(
            changes,
            [(0.0, 1), (1.0, 2), (2.0, 3), (3.0, 4), (6.0, 3), (7.0, 0)]
        );
        assert_eq!(ramp.peak(), 4.0);
        // VU 1 and VU 3 are the second of two shares'.
        let second = share(1, 2);
        assert_eq!(ramp.vus(2.5, second), 1);
        assert_eq!(ramp.next_change(0.0, second), Some(1.0));
        assert_eq!(ramp.next_change(1.0, second), Some(3.0));
        assert_eq!(ramp.next_change(3.0, second), Some(6.0));
        assert_eq!(ramp.next_change(6.0, second), Some(7.0));
        assert_eq!(ramp.next_change(7.0, second), None);
    }
}
