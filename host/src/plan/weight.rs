//! One load spread over several scenarios by their weights.

use std::num::NonZeroU32;

use super::{Executor, Stage};
use crate::units::Rate;

/// Deals `whole` items out in proportion to the weights: the parts add up to
/// it, and none is off its exact part by one or more. Of parts that are equally
/// near the next item the first gets it.
pub fn deal(whole: u64, weights: &[NonZeroU32]) -> Vec<u64> {
    let all: u128 = weights.iter().map(|weight| u128::from(weight.get())).sum();
    let exact = |weight: &NonZeroU32| u128::from(whole) * u128::from(weight.get());
    let mut parts: Vec<u64> = weights
        .iter()
        .map(|weight| u64::try_from(exact(weight) / all).expect("a part is at most the whole"))
        .collect();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    by_rest.sort_by_key(|index| std::cmp::Reverse(exact(&weights[*index]) % all));
    let left = whole - parts.iter().sum::<u64>();
    // Less than one item is left for each part.
    by_rest
        .into_iter()
        .zip(0..left)
        .for_each(|(index, _)| parts[index] += 1);
    parts
}

/// A load that has too little of something for each scenario to get any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLittle {
    /// Too little of what: `VUs` or `iterations`.
    pub what: &'static str,
    /// How much there is.
    pub whole: u64,
    /// The first scenario, from 0, that would get none.
    pub without: usize,
}

impl Executor {
    /// Spreads the load over as many scenarios as there are weights: VUs,
    /// iterations and rates are dealt out and add up to the whole again. While
    /// VUs ramp up or down, each part does so by itself.
    ///
    /// # Errors
    ///
    /// If a scenario would get no VU at all, or no iteration.
    pub fn dealt(&self, weights: &[NonZeroU32]) -> Result<Vec<Self>, TooLittle> {
        let all: f64 = weights.iter().map(|weight| f64::from(weight.get())).sum();
        let rate = |rate: Rate, index: usize| {
            Rate::per_second(rate.per_s() * f64::from(weights[index].get()) / all)
        };
        let indices = 0..weights.len();
        Ok(match self {
            Self::ConstantVus { vus, duration } => some_vus(*vus, weights)?
                .into_iter()
                .map(|vus| Self::ConstantVus {
                    vus,
                    duration: *duration,
                })
                .collect(),
            Self::RampingVus {
                start_vus,
                stages,
                graceful_ramp_down,
            } => {
                let most = stages.iter().map(|stage| stage.target).max();
                let most = most.unwrap_or(0).max(*start_vus);
                some(u64::from(most), weights, "VUs")?;
                let start_vus = deal_vus(*start_vus, weights);
                let targets: Vec<_> = stages
                    .iter()
                    .map(|stage| deal_vus(stage.target, weights))
                    .collect();
                indices
                    .map(|index| Self::RampingVus {
                        start_vus: start_vus[index],
                        stages: stages
                            .iter()
                            .zip(&targets)
                            .map(|(stage, targets)| Stage {
                                duration: stage.duration,
                                target: targets[index],
                            })
                            .collect(),
                        graceful_ramp_down: *graceful_ramp_down,
                    })
                    .collect()
            }
            Self::PerVuIterations {
                vus,
                iterations,
                max_duration,
            } => some_vus(*vus, weights)?
                .into_iter()
                .map(|vus| Self::PerVuIterations {
                    vus,
                    iterations: *iterations,
                    max_duration: *max_duration,
                })
                .collect(),
            Self::SharedIterations {
                vus,
                iterations,
                max_duration,
            } => some_vus(*vus, weights)?
                .into_iter()
                .zip(some(*iterations, weights, "iterations")?)
                .map(|(vus, iterations)| Self::SharedIterations {
                    vus,
                    iterations,
                    max_duration: *max_duration,
                })
                .collect(),
            Self::ConstantArrivalRate {
                rate: whole,
                duration,
                arrivals,
            } => indices
                .map(|index| Self::ConstantArrivalRate {
                    rate: rate(*whole, index),
                    duration: *duration,
                    arrivals: *arrivals,
                })
                .collect(),
            Self::RampingArrivalRate {
                start_rate,
                stages,
                arrivals,
            } => indices
                .map(|index| Self::RampingArrivalRate {
                    start_rate: rate(*start_rate, index),
                    stages: stages
                        .iter()
                        .map(|stage| Stage {
                            duration: stage.duration,
                            target: rate(stage.target, index),
                        })
                        .collect(),
                    arrivals: *arrivals,
                })
                .collect(),
        })
    }
}

fn deal_vus(vus: u32, weights: &[NonZeroU32]) -> Vec<u32> {
    deal(vus.into(), weights)
        .into_iter()
        .map(|part| u32::try_from(part).expect("a part is at most the whole"))
        .collect()
}

/// Deals out so that nobody goes away empty-handed.
fn some(whole: u64, weights: &[NonZeroU32], what: &'static str) -> Result<Vec<u64>, TooLittle> {
    let parts = deal(whole, weights);
    match parts.iter().position(|part| *part == 0) {
        None => Ok(parts),
        Some(without) => Err(TooLittle {
            what,
            whole,
            without,
        }),
    }
}

fn some_vus(vus: NonZeroU32, weights: &[NonZeroU32]) -> Result<Vec<NonZeroU32>, TooLittle> {
    some(vus.get().into(), weights, "VUs")?;
    Ok(deal_vus(vus.get(), weights)
        .into_iter()
        .filter_map(NonZeroU32::new)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn weights(weights: &[u32]) -> Vec<NonZeroU32> {
        weights
            .iter()
            .copied()
            .filter_map(NonZeroU32::new)
            .collect()
    }

    proptest! {
        #[test]
        fn parts_add_up_and_are_off_by_less_than_one(
            whole in any::<u64>(),
            given in vec(1u32.., 1..20),
        ) {
            let given = weights(&given);
            let all: u128 = given.iter().map(|weight| u128::from(weight.get())).sum();
            let parts = deal(whole, &given);
            prop_assert_eq!(parts.iter().map(|part| u128::from(*part)).sum::<u128>(), u128::from(whole));
            for (part, weight) in parts.into_iter().zip(given) {
                let exact = u128::from(whole) * u128::from(weight.get());
                prop_assert!((u128::from(part) * all).abs_diff(exact) < all);
            }
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_load_is_dealt_by_weight() {
        let vus = |vus| NonZeroU32::new(vus).expect("not zero");
        let whole = Executor::ConstantVus {
            vus: vus(7),
            duration: MINUTE,
        };
        let parts = whole.dealt(&weights(&[80, 20])).expect("enough");
        assert_eq!(
            parts,
            [6, 1].map(|part| Executor::ConstantVus {
                vus: vus(part),
                duration: MINUTE,
            })
        );
        let ramp = Executor::RampingVus {
            start_vus: 0,
            stages: vec![Stage {
                duration: MINUTE,
                target: 10,
            }],
            graceful_ramp_down: MINUTE,
        };
        let parts = ramp.dealt(&weights(&[4, 1])).expect("enough");
        let targets: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Executor::RampingVus { stages, .. } => stages[0].target,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(targets, [8, 2]);
        let rate = Executor::ConstantArrivalRate {
            rate: Rate::per_second(50.0),
            duration: MINUTE,
            arrivals: Default::default(),
        };
        let parts = rate.dealt(&weights(&[4, 1])).expect("enough");
        let rates: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Executor::ConstantArrivalRate { rate, .. } => rate.per_s(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(rates, [40.0, 10.0]);
    }

    #[test]
    fn a_scenario_without_a_vu_is_told() {
        let whole = Executor::SharedIterations {
            vus: NonZeroU32::new(3).expect("not zero"),
            iterations: 1,
            max_duration: MINUTE,
        };
        let too_little = |given: &[u32]| whole.dealt(&weights(given)).expect_err("too little");
        let expected = |what, whole, without| TooLittle {
            what,
            whole,
            without,
        };
        assert_eq!(too_little(&[99, 1]), expected("VUs", 3, 1));
        assert_eq!(too_little(&[2, 1]), expected("iterations", 1, 1));
    }
}
