//! When the iterations of an open model are due.
//!
//! Every share knows the whole schedule and takes each `of`-th arrival of it, so
//! that the shares' arrivals interleave evenly, and no two shares have to agree
//! on anything.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Profile;
use crate::plan::{self, Share};

/// The times of a share's arrivals, in order: seconds since the scenario's start.
#[derive(Debug)]
pub struct Arrivals {
    profile: Profile,
    share: Share,
    spread: Spread,
    /// The next of the share's, and how much of the profile lies before it.
    next: Option<f64>,
}

#[derive(Debug)]
enum Spread {
    /// Arrival `k` comes when the integral of the rate goes beyond `k`.
    Even {
        /// How many of the share's have come.
        place: u64,
    },
    /// Arrivals come in gaps that are distributed exponentially, with a mean of
    /// one of the integral. Each share draws them all, a few nanoseconds each,
    /// and keeps its own: the process is the same however it is shared.
    Poisson {
        random: Box<Xoshiro256PlusPlus>,
        /// The number, over all shares, of the arrival after `area`.
        number: u64,
        area: f64,
    },
}

impl Arrivals {
    /// The arrivals of a share at a rate that goes as `profile` does.
    pub fn new(profile: Profile, share: Share, spread: plan::Arrivals, seed: u64) -> Self {
        let spread = match spread {
            plan::Arrivals::Even => Spread::Even { place: 0 },
            plan::Arrivals::Poisson => Spread::Poisson {
                random: Box::new(Xoshiro256PlusPlus::seed_from_u64(seed)),
                number: 0,
                area: 0.0,
            },
        };
        let mut arrivals = Self {
            profile,
            share,
            spread,
            next: None,
        };
        arrivals.draw();
        arrivals
    }

    /// When the next one is due, if there is one.
    pub fn due(&self) -> Option<f64> {
        self.profile.reach(self.next?)
    }

    /// Goes on to the one after it.
    pub fn pass(&mut self) {
        self.draw();
    }

    /// How the rate goes.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Lets the rate go otherwise from now on. Those that have passed count.
    pub fn follow(&mut self, profile: Profile) {
        self.profile = profile;
    }

    fn draw(&mut self) {
        self.next = Some(match &mut self.spread {
            Spread::Even { place } => {
                let item = self.share.item(*place);
                *place += 1;
                item as f64
            }
            Spread::Poisson {
                random,
                number,
                area,
            } => loop {
                // From (0, 1], of which the logarithm is finite.
                let uniform = ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                *area -= uniform.ln();
                let item = *number;
                *number += 1;
                if self.share.has(item) {
                    break *area;
                }
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn all(profile: &Profile, share: Share, spread: plan::Arrivals) -> Vec<f64> {
        let mut arrivals = Arrivals::new(profile.clone(), share, spread, 42);
        let mut times = Vec::new();
        while let Some(at) = arrivals.due() {
            times.push(at);
            arrivals.pass();
        }
        times
    }

    fn shared(profile: &Profile, of: u32, spread: plan::Arrivals) -> Vec<f64> {
        let mut times: Vec<f64> = (0..of)
            .flat_map(|index| {
                let share = Share::new(index, of).expect("the index is in range");
                all(profile, share, spread)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    proptest! {
        #[test]
        fn the_arrivals_of_all_shares_are_those_of_the_whole(
            start in 0.0..50.0f64,
            stages in prop::collection::vec((1u64..5_000, 0.0..80.0f64), 1..4),
            of in 1u32..7,
        ) {
            let stages = stages.iter().map(|(ms, to)| (Duration::from_millis(*ms), *to));
            let profile = Profile::stages(start, stages);
            for spread in [plan::Arrivals::Even, plan::Arrivals::Poisson] {
                let whole = all(&profile, Share::WHOLE, spread);
                prop_assert_eq!(shared(&profile, of, spread), whole.clone());
                prop_assert!(whole.is_sorted());
            }
            // Even ones are never more than one off the integral.
            let whole = all(&profile, Share::WHOLE, plan::Arrivals::Even);
            let steps = (profile.end() / 0.1) as u32;
            for step in 0..=steps {
                let at = f64::from(step) * 0.1;
                let count = whole.iter().filter(|time| **time < at).count();
                prop_assert!((count as f64 - profile.area(at)).abs() <= 1.0 + 1e-5);
            }
        }
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_name() {
        let profile = Profile::constant(100.0, Duration::from_secs(1_000));
        let times = all(&profile, Share::WHOLE, plan::Arrivals::Poisson);
        // 100,000 give or take five times their root.
        assert!(times.len().abs_diff(100_000) < 1_600, "{}", times.len());
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.02,
            "{mean} {variance}"
        );
    }

    #[test]
    fn a_rate_can_be_changed_on_the_way() {
        let profile = Profile::constant(10.0, Duration::from_secs(10));
        let mut arrivals = Arrivals::new(profile.clone(), Share::WHOLE, plan::Arrivals::Even, 0);
        for _ in 0..20 {
            arrivals.pass();
        }
        arrivals.follow(profile.replaced(2.0, 100.0));
        let mut count = 20;
        while arrivals.due().is_some() {
            arrivals.pass();
            count += 1;
        }
        assert_eq!(count, 20 + 800);
    }
}
