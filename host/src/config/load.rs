//! How a scenario's iterations are started: which executor what was said comes
//! to, and whether the rest goes with it.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use super::options::Key;
use super::resolve::{Reader, Surroundings};
use super::{shape, values};
use crate::plan::{Executor, Stage};
use crate::units::Rate;

/// For how long a number of iterations is started if no duration is given.
const ITERATIONS_CAP: Duration = Duration::from_secs(600);
/// How many VUs an open model may have, if the machine has room for as many:
/// what Linux' default limits allow.
pub(super) const OPEN_VUS: u32 = 10_000;

/// The load of a scenario.
pub(super) struct Load {
    pub(super) executor: Executor,
    pub(super) max_vus: NonZeroU32,
    pub(super) timing: Timing,
}

/// When a scenario starts, and how it stops.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) start_time: Duration,
    pub(super) graceful_stop: Duration,
}

/// The executors, with the options that each takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ConstantVus,
    RampingVus,
    PerVuIterations,
    SharedIterations,
    ConstantArrivalRate,
    RampingArrivalRate,
}

/// The options that only some executors take.
const SHAPE: [Key; 8] = [
    Key::Vus,
    Key::Duration,
    Key::Iterations,
    Key::Rate,
    Key::Stage,
    Key::MaxVus,
    Key::Arrivals,
    Key::GracefulRampDown,
];

impl Kind {
    fn named(name: &str) -> Self {
        match name {
            "constant-vus" => Self::ConstantVus,
            "ramping-vus" => Self::RampingVus,
            "per-vu-iterations" => Self::PerVuIterations,
            "constant-arrival-rate" => Self::ConstantArrivalRate,
            "ramping-arrival-rate" => Self::RampingArrivalRate,
            _ => Self::SharedIterations,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ConstantVus => "constant-vus",
            Self::RampingVus => "ramping-vus",
            Self::PerVuIterations => "per-vu-iterations",
            Self::SharedIterations => "shared-iterations",
            Self::ConstantArrivalRate => "constant-arrival-rate",
            Self::RampingArrivalRate => "ramping-arrival-rate",
        }
    }

    /// Without a name, what is given decides, and which of it.
    fn implied(read: &Reader<'_>) -> (Self, Option<Key>) {
        let given = |key| read.given(key);
        match () {
            () if given(Key::Rate) && given(Key::Stage) => {
                (Self::RampingArrivalRate, Some(Key::Rate))
            }
            () if given(Key::Rate) => (Self::ConstantArrivalRate, Some(Key::Rate)),
            () if given(Key::Stage) => (Self::RampingVus, Some(Key::Stage)),
            () if given(Key::Iterations) => (Self::SharedIterations, Some(Key::Iterations)),
            () if given(Key::Duration) => (Self::ConstantVus, Some(Key::Duration)),
            () => (Self::SharedIterations, None),
        }
    }

    /// The options that it cannot do without.
    fn needs(self) -> &'static [Key] {
        match self {
            Self::ConstantVus => &[Key::Duration],
            Self::RampingVus => &[Key::Stage],
            Self::PerVuIterations | Self::SharedIterations => &[],
            Self::ConstantArrivalRate => &[Key::Rate, Key::Duration],
            Self::RampingArrivalRate => &[Key::Rate, Key::Stage],
        }
    }

    /// The options that it can have besides.
    fn takes(self) -> &'static [Key] {
        match self {
            Self::ConstantVus => &[Key::Vus, Key::MaxVus],
            Self::RampingVus => &[Key::Vus, Key::MaxVus, Key::GracefulRampDown],
            Self::PerVuIterations | Self::SharedIterations => {
                &[Key::Vus, Key::Iterations, Key::Duration]
            }
            Self::ConstantArrivalRate | Self::RampingArrivalRate => &[Key::MaxVus, Key::Arrivals],
        }
    }
}

/// Reads the load of a scenario.
pub(super) fn load(read: &mut Reader<'_>, around: &Surroundings) -> Load {
    if read.given(Key::Shape)
        && let Some(load) = shape::load(read, around)
    {
        return load;
    }
    let named = read.one(Key::Executor, values::executor).map(Kind::named);
    let (kind, from) = match named {
        Some(kind) => (kind, None),
        None => Kind::implied(read),
    };
    // A name that is none leaves open what the rest should go with.
    let is_known = named.is_some() || !read.given(Key::Executor);
    if is_known {
        goes_together(read, kind, from);
    }
    // Stages may begin with no VU at all.
    let (vus, start_vus) = match kind {
        Kind::RampingVus if !read.is_default(Key::Vus) => {
            (None, read.one(Key::Vus, values::vus_or_none))
        }
        _ => (read.one(Key::Vus, values::vus), None),
    };
    let vus = vus.unwrap_or(NonZeroU32::MIN);
    let duration = read.one(Key::Duration, values::duration_above_zero);
    let iterations = read.one(Key::Iterations, values::iterations);
    let max_vus = read.one(Key::MaxVus, values::vus);
    let arrivals = read
        .one(Key::Arrivals, values::arrivals)
        .unwrap_or_default();
    let graceful_ramp_down = read
        .one(Key::GracefulRampDown, values::duration)
        .unwrap_or(Duration::from_secs(30));
    let rate = read.one(Key::Rate, values::rate);
    let max_duration = duration.unwrap_or(ITERATIONS_CAP);
    let executor = match kind {
        Kind::ConstantVus => Executor::ConstantVus {
            vus,
            duration: max_duration,
        },
        Kind::RampingVus => Executor::RampingVus {
            start_vus: start_vus.unwrap_or(0),
            stages: stages(read, values::vus_stage),
            graceful_ramp_down,
        },
        Kind::PerVuIterations => Executor::PerVuIterations {
            vus,
            iterations: iterations.map_or(1, NonZeroU64::get),
            max_duration,
        },
        Kind::SharedIterations => Executor::SharedIterations {
            vus,
            iterations: iterations.map_or(u64::from(vus.get()), NonZeroU64::get),
            max_duration,
        },
        Kind::ConstantArrivalRate => {
            let rate = rate.unwrap_or(Rate::per_second(1.0));
            if rate.per_s() <= 0.0 {
                read.clash(
                    Key::Rate,
                    "at this rate nothing ever starts",
                    "such as `50/s`, or add `--stage` to go to another rate",
                );
            }
            Executor::ConstantArrivalRate {
                rate,
                duration: max_duration,
                arrivals,
            }
        }
        Kind::RampingArrivalRate => {
            let start_rate = rate.unwrap_or(Rate::per_second(0.0));
            Executor::RampingArrivalRate {
                start_rate,
                stages: stages(read, |text| values::rate_stage(text, start_rate)),
                arrivals,
            }
        }
    };
    Load {
        max_vus: most_vus(read, &executor, max_vus, around),
        executor,
        timing: timing(read),
    }
}

/// When a scenario starts, and how it stops.
pub(super) fn timing(read: &mut Reader<'_>) -> Timing {
    Timing {
        start_time: read
            .one(Key::StartTime, values::duration)
            .unwrap_or_default(),
        graceful_stop: read
            .one(Key::GracefulStop, values::duration)
            .unwrap_or(Duration::from_secs(30)),
    }
}

/// Tells what the executor needs and has not, and has and does not take.
fn goes_together(read: &mut Reader<'_>, kind: Kind, from: Option<Key>) {
    let name = kind.name();
    let which = match from {
        Some(key) => format!(
            "the executor `{name}`, which follows from `--{}`,",
            key.flag()
        ),
        None => format!("the executor `{name}`"),
    };
    let takes: Vec<_> = kind.needs().iter().chain(kind.takes()).copied().collect();
    for key in SHAPE {
        // A script's own number of VUs says nothing against a load of the
        // user's that has none.
        let for_users = key != Key::Vus || read.said_by_user(key);
        if read.given(key) && !takes.contains(&key) && for_users {
            let takes: Vec<_> = takes
                .iter()
                .map(|key| format!("`--{}`", key.flag()))
                .collect();
            read.clash(
                key,
                &format!("{which} does not take it"),
                &format!("it takes {}", listed(&takes)),
            );
        }
    }
    for need in kind.needs() {
        if read.given(*need) {
            continue;
        }
        let (needs, hint) = match (need, kind) {
            (Key::Duration, Kind::ConstantArrivalRate) => (
                "a duration, or stages",
                "add `--duration`, such as `--duration 30s`, or `--stage`, such as \
                 `--stage 30s:100/s`",
            ),
            (Key::Duration, _) => ("a duration", "add `--duration`, such as `--duration 30s`"),
            (Key::Stage, Kind::RampingVus) => ("stages", "add `--stage`, such as `--stage 30s:50`"),
            (Key::Stage, _) => ("stages", "add `--stage`, such as `--stage 30s:100/s`"),
            _ => ("a rate", "add `--rate`, such as `--rate 50/s`"),
        };
        read.clash(
            from.unwrap_or(Key::Executor),
            &format!("{which} needs {needs}"),
            hint,
        );
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn stages<T>(
    read: &mut Reader<'_>,
    parse: impl Fn(&str) -> values::Parsed<Stage<T>>,
) -> Vec<Stage<T>> {
    let given = read.options.all(Key::Stage).len();
    let stages = read.each(Key::Stage, parse);
    if given > 0 && stages.len() == given && stages.iter().all(|stage| stage.duration.is_zero()) {
        read.clash(
            Key::Stage,
            "the stages last no time at all",
            "give at least one a duration, such as `30s:50`",
        );
    }
    stages
}

/// How many VUs there can be: as many as a closed model has, and for an open one
/// as many as were asked for, or fit.
fn most_vus(
    read: &mut Reader<'_>,
    executor: &Executor,
    asked: Option<NonZeroU32>,
    around: &Surroundings,
) -> NonZeroU32 {
    let Some(needed) = executor.vus() else {
        return asked.unwrap_or_else(|| {
            NonZeroU32::new(around.vus_room.min(OPEN_VUS)).unwrap_or(NonZeroU32::MIN)
        });
    };
    match asked {
        Some(asked) if asked < needed => {
            read.clash(
                Key::MaxVus,
                &format!("there will be {needed} VUs at once"),
                &format!("at least `{needed}`, or leave it out"),
            );
            needed
        }
        Some(asked) => asked,
        None => needed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Place, resolve};
    use super::*;
    use crate::error::Error;
    use crate::plan::{Arrivals, Scenario, ScriptSource};

    fn around() -> Surroundings {
        Surroundings {
            stdout_is_terminal: false,
            has_keys: false,
            cores: 4,
            vus_room: 9_000,
            cache_home: None,
        }
    }

    fn said(values: &[(Key, &str)]) -> Options {
        let mut options = Options::default();
        for (key, text) in values {
            options.say(*key, *text, Place::Flag);
        }
        options
    }

    fn scenario(values: &[(Key, &str)]) -> Scenario {
        let mut resolved =
            resolve(ScriptSource::Demo, &said(values), &around()).expect("a valid plan");
        resolved.plan.scenarios.remove(0)
    }

    fn refused(options: &Options) -> Vec<String> {
        match resolve(ScriptSource::Demo, options, &around()) {
            Err(Error::Config(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_executor_follows_from_what_is_given() {
        let executor = |values: &[(Key, &str)]| scenario(values).executor;
        let vus = NonZeroU32::new(5).expect("not zero");
        let five = (Key::Vus, "5");
        assert_eq!(
            executor(&[five, (Key::Duration, "30s")]),
            Executor::ConstantVus {
                vus,
                duration: seconds(30)
            }
        );
        assert_eq!(
            executor(&[five, (Key::Duration, "30s"), (Key::Iterations, "100")]),
            Executor::SharedIterations {
                vus,
                iterations: 100,
                max_duration: seconds(30)
            }
        );
        assert_eq!(
            executor(&[five, (Key::Executor, "shared-iterations")]),
            Executor::SharedIterations {
                vus,
                iterations: 5,
                max_duration: ITERATIONS_CAP
            }
        );
        assert_eq!(
            executor(&[
                five,
                (Key::Executor, "per-vu-iterations"),
                (Key::Iterations, "3")
            ]),
            Executor::PerVuIterations {
                vus,
                iterations: 3,
                max_duration: ITERATIONS_CAP
            }
        );
        let stage = |duration, target| Stage { duration, target };
        assert_eq!(
            executor(&[
                five,
                (Key::Stage, "10s:20"),
                (Key::Stage, "1m:0"),
                (Key::GracefulRampDown, "5s")
            ]),
            Executor::RampingVus {
                start_vus: 5,
                stages: vec![stage(seconds(10), 20), stage(seconds(60), 0)],
                graceful_ramp_down: seconds(5)
            }
        );
        assert_eq!(
            executor(&[
                (Key::Rate, "50/s"),
                (Key::Duration, "30s"),
                (Key::Arrivals, "poisson")
            ]),
            Executor::ConstantArrivalRate {
                rate: Rate::per_second(50.0),
                duration: seconds(30),
                arrivals: Arrivals::Poisson
            }
        );
        let ramp = executor(&[
            (Key::Rate, "60/m"),
            (Key::Stage, "10s:120"),
            (Key::Stage, "10s:5/s"),
        ]);
        let Executor::RampingArrivalRate {
            start_rate, stages, ..
        } = ramp
        else {
            panic!("{ramp:?}");
        };
        let rates: Vec<_> = stages.iter().map(|stage| stage.target.per_s()).collect();
        assert_eq!((start_rate.per_s(), rates), (1.0, vec![2.0, 5.0]));
    }

    #[test]
    fn nobody_guesses_how_many_vus_a_rate_needs() {
        let rate = [(Key::Rate, "50/s"), (Key::Duration, "30s")];
        assert_eq!(scenario(&rate).max_vus.get(), 9_000);
        let [rate, duration] = rate;
        let limited = scenario(&[rate, duration, (Key::MaxVus, "7")]);
        assert_eq!(limited.max_vus.get(), 7);
        let ramp = [
            (Key::Vus, "3"),
            (Key::Stage, "1s:40"),
            (Key::Stage, "1s:10"),
        ];
        assert_eq!(scenario(&ramp).max_vus.get(), 40);
    }

    #[test]
    fn what_does_not_go_together_is_told_at_once() {
        assert_eq!(
            refused(&said(&[
                (Key::Rate, "50/s"),
                (Key::Vus, "5"),
                (Key::Iterations, "10"),
            ])),
            [
                "`--vus`: the executor `constant-arrival-rate`, which follows from `--rate`, does not take it\nhint: it takes `--rate`, `--duration`, `--max-vus` and `--arrivals`",
                "`--iterations`: the executor `constant-arrival-rate`, which follows from `--rate`, does not take it\nhint: it takes `--rate`, `--duration`, `--max-vus` and `--arrivals`",
                "`--rate`: the executor `constant-arrival-rate`, which follows from `--rate`, needs a duration, or stages\nhint: add `--duration`, such as `--duration 30s`, or `--stage`, such as `--stage 30s:100/s`",
            ]
        );
        assert_eq!(
            refused(&said(&[
                (Key::Stage, "10s:5"),
                (Key::Duration, "10s"),
                (Key::MaxVus, "4"),
                (Key::Arrivals, "even"),
            ])),
            [
                "`--duration`: the executor `ramping-vus`, which follows from `--stage`, does not take it\nhint: it takes `--stage`, `--vus`, `--max-vus` and `--graceful-ramp-down`",
                "`--arrivals`: the executor `ramping-vus`, which follows from `--stage`, does not take it\nhint: it takes `--stage`, `--vus`, `--max-vus` and `--graceful-ramp-down`",
                "`--max-vus`: there will be 5 VUs at once\nhint: at least `5`, or leave it out",
            ]
        );
        for (values, start) in [
            (
                [(Key::Stage, "0s:5"), (Key::Stage, "0s:7")],
                "`--stage`: the stages last no time",
            ),
            (
                [(Key::Rate, "0/s"), (Key::Duration, "1s")],
                "`--rate`: at this rate nothing",
            ),
            (
                [(Key::Stage, "5"), (Key::Stage, "1s:7")],
                "`--stage`: expected a duration, a colon and a number of VUs, found `5`",
            ),
            (
                [(Key::Stage, "30:5"), (Key::Stage, "1s:7")],
                "`--stage`: expected a duration, a colon and a number of VUs, found `30:5`\nhint: did you mean `30s`?",
            ),
            (
                [(Key::Stage, "1s:5/s"), (Key::Stage, "1s:7")],
                "`--stage`: expected a duration, a colon and a number of VUs, found `1s:5/s`\nhint: a rate needs a rate to start from",
            ),
            (
                [(Key::Rate, "50"), (Key::Duration, "1s")],
                "`--rate`: expected a rate with its unit, found `50`\nhint: did you mean `50/s`?",
            ),
        ] {
            let mistakes = refused(&said(&values));
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with(start), "{mistakes:?}");
        }
    }

    #[test]
    fn constant_vus_needs_a_duration_and_no_iterations() {
        let mistakes = refused(&said(&[
            (Key::Executor, "constant-vus"),
            (Key::Iterations, "5"),
        ]));
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("`--iterations`"), "{mistakes:?}");
        assert!(mistakes[1].starts_with("`--executor`"), "{mistakes:?}");
        let mistakes = refused(&said(&[
            (Key::Executor, "constant-vus"),
            (Key::Duration, "5"),
        ]));
        assert_eq!(mistakes.len(), 1, "a wrong duration is given: {mistakes:?}");
    }

    #[test]
    fn a_rate_makes_nothing_of_the_script_s_own_vus() {
        let script = Options::from_script_json(r#"{"vus": 5, "stages": ["10s:7"]}"#);
        let user = said(&[(Key::Rate, "50/s"), (Key::Duration, "1s")]);
        let resolved = resolve(ScriptSource::Demo, &user.over(script), &around());
        let plan = resolved.expect("a valid plan").plan;
        assert_eq!(plan.scenarios[0].executor.name(), "constant-arrival-rate");
    }
}
