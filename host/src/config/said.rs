//! What was said of a run, in its layers.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::file::File;
use super::load::{Load, load, timing};
use super::options::{Key, Options};
use super::resolve::{Reader, Surroundings, http, last_of_each};
use super::values;
use crate::error::Problem;
use crate::measure::Tag;
use crate::plan::{Scenario, ScriptSource, deal};

/// The scenario of a run that names none.
const DEFAULT: &str = "default";

/// What was said of a run: the strongest layer first.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// On the command line, over what the environment says.
    pub user: Options,
    /// The script of scenarios that name none.
    pub script: Option<ScriptSource>,
    /// In the configuration file.
    pub file: File,
    /// By the scripts, in the order of the scenarios. May be shorter than these.
    pub scripts: Vec<Options>,
}

impl Said {
    /// What the user said about a run of one script.
    pub fn of(script: ScriptSource, user: Options) -> Self {
        Self {
            user,
            script: Some(script),
            ..Self::default()
        }
    }

    /// What holds for the whole run.
    pub(super) fn of_the_run(&self) -> Options {
        let scripts = self.scripts.iter().cloned().map(|mut script| {
            if self.file.scenarios.len() > 1 {
                // It speaks for its own scenario only.
                Key::all()
                    .filter(|key| key.is_for_scenarios())
                    .for_each(|key| script.forget(key));
            }
            script
        });
        scripts.fold(
            self.user.clone().over(self.file.options.clone()),
            Options::over,
        )
    }

    /// What was said of each scenario.
    pub(super) fn of_scenarios(&self) -> Vec<Draft> {
        let options = |own: &Options, index: usize| {
            let script = self.scripts.get(index).cloned().unwrap_or_default();
            self.user
                .clone()
                .over(own.clone())
                .over(self.file.options.clone())
                .over(script)
        };
        let fallback = || {
            let own = self.file.script.clone().map(ScriptSource::File);
            self.script.clone().or(own)
        };
        if self.file.scenarios.is_empty() {
            return vec![Draft {
                name: DEFAULT.into(),
                at: String::new(),
                script: fallback(),
                weight: Weight::None,
                has_its_own_load: false,
                options: options(&Options::default(), 0),
            }];
        }
        let scenarios = self.file.scenarios.iter().enumerate();
        scenarios
            .map(|(index, scenario)| Draft {
                name: scenario.name.clone(),
                at: scenario.at.clone(),
                script: scenario
                    .script
                    .clone()
                    .map(ScriptSource::File)
                    .or_else(fallback),
                weight: match &scenario.weight {
                    None => Weight::None,
                    Some(_) if scenario.options.shapes_the_load() => Weight::BesideLoad,
                    Some(given) => match given.text.parse() {
                        Ok(weight) => Weight::Of(weight),
                        Err(_) => Weight::Wrong(given.text.clone()),
                    },
                },
                has_its_own_load: scenario.options.shapes_the_load(),
                options: fitting(options(&scenario.options, index), &scenario.options),
            })
            .collect()
    }
}

/// Leaves out what holds for all scenarios and has no meaning for the load of
/// this one: it is meant for the others.
fn fitting(mut options: Options, own: &Options) -> Options {
    if own.get(Key::Vus).is_none() && options.get(Key::Rate).is_some() {
        options.forget(Key::Vus);
    }
    options
}

/// A scenario before its options are read.
pub(super) struct Draft {
    name: Arc<str>,
    /// Where it stands in the file.
    at: String,
    pub(super) script: Option<ScriptSource>,
    weight: Weight,
    has_its_own_load: bool,
    pub(super) options: Options,
}

enum Weight {
    /// It has its own load, or that of the whole run.
    None,
    /// Its part of the run's load.
    Of(NonZeroU32),
    Wrong(String),
    /// It has a weight and a load of its own.
    BesideLoad,
}

impl Draft {
    fn mistake(&self, run: &mut Reader<'_>, what: &str, hint: &str) {
        let Self { name, at, .. } = self;
        run.mistake(Problem::new(format!("{at}: the scenario `{name}` {what}")).hint(hint));
    }

    /// The weight, if it has one that can be used.
    fn weight(&self, run: &mut Reader<'_>) -> Option<NonZeroU32> {
        match &self.weight {
            Weight::Of(weight) => return Some(*weight),
            Weight::None => {}
            Weight::Wrong(text) => self.mistake(
                run,
                &format!("has the weight `{text}`, and expected is a whole number from 1"),
                "such as `weight = 80`",
            ),
            Weight::BesideLoad => self.mistake(
                run,
                "has both a weight and a load of its own",
                "leave out one: a weight is a part of the load that stands above the scenarios",
            ),
        }
        None
    }
}

/// Makes the scenarios of drafts. What is wrong is noted with `run`, which reads
/// what holds for all of them.
pub(super) fn scenarios(
    drafts: &[Draft],
    run: &mut Reader<'_>,
    around: &Surroundings,
) -> Vec<Scenario> {
    let weights: Vec<_> = drafts.iter().map(|draft| draft.weight(run)).collect();
    let shared = shared_loads(drafts, &weights, run, around);
    let mut shared = shared.into_iter();
    drafts
        .iter()
        .zip(weights)
        .filter_map(|(draft, weight)| {
            let mut read = Reader::new(&draft.options);
            let load = match weight {
                // When it starts and how it stops is its own.
                Some(_) => shared.next().flatten().map(|part| Load {
                    timing: timing(&mut read),
                    ..part
                }),
                None => Some(load(&mut read, around)),
            };
            let http = http(&mut read);
            let env = last_of_each(read.each(Key::Env, values::pair), |pair| &pair.0);
            let tags = last_of_each(read.each(Key::Tag, values::tag), |tag: &Tag| &tag.0);
            run.take_in(read);
            let Some(script) = draft.script.clone() else {
                if draft.at.is_empty() {
                    run.mistake(
                        Problem::new("there is no script to run")
                            .hint("name one: `squall run SCRIPT.wasm`, or `script` in the file"),
                    );
                } else {
                    draft.mistake(run, "has no script", "add `script = \"FILE.wasm\"`");
                }
                return None;
            };
            let load = load?;
            Some(Scenario {
                name: draft.name.clone(),
                script,
                executor: load.executor,
                start_time: load.timing.start_time,
                graceful_stop: load.timing.graceful_stop,
                max_vus: load.max_vus,
                http,
                env,
                tags,
            })
        })
        .collect()
}

/// How many times as many VUs a closed model may be given as it has, and how
/// many at least, where somebody may steer the run.
const MORE_VUS: u32 = 10;
const MOST_AT_LEAST: u32 = 100;

/// Makes room for more VUs than closed models have, as far as the machine has
/// some to spare: somebody may steer the run. `--max-vus` is kept to.
pub(super) fn make_room(scenarios: &mut [Scenario], drafts: &[Draft], around: &Surroundings) {
    let can_grow = |scenario: &Scenario, draft: &Draft| {
        let executor = &scenario.executor;
        let is_steerable = !executor.is_open() && executor.iterations().is_none();
        is_steerable && draft.options.get(Key::MaxVus).is_none()
    };
    let both = || scenarios.iter().zip(drafts);
    let growing = both().filter(|(scenario, draft)| can_grow(scenario, draft));
    let growing = u32::try_from(growing.count()).unwrap_or(u32::MAX);
    let taken = both().fold(0_u32, |taken, (scenario, _)| {
        taken.saturating_add(scenario.max_vus.get())
    });
    let spare = around.vus_room.saturating_sub(taken) / growing.max(1);
    for (scenario, draft) in scenarios.iter_mut().zip(drafts) {
        if can_grow(scenario, draft) {
            let has = scenario.max_vus;
            let wanted = has.get().saturating_mul(MORE_VUS).max(MOST_AT_LEAST);
            scenario.max_vus = has.saturating_add(spare.min(wanted - has.get()));
        }
    }
}

/// The parts of the run's load, one for each scenario with a weight; `None`
/// where there is too little of it.
fn shared_loads(
    drafts: &[Draft],
    weights: &[Option<NonZeroU32>],
    run: &mut Reader<'_>,
    around: &Surroundings,
) -> Vec<Option<Load>> {
    let sharing: Vec<&Draft> = drafts
        .iter()
        .zip(weights)
        .filter_map(|(draft, weight)| weight.and(Some(draft)))
        .collect();
    let weights: Vec<NonZeroU32> = weights.iter().copied().flatten().collect();
    if weights.is_empty() {
        return Vec::new();
    }
    for draft in drafts {
        if matches!(draft.weight, Weight::None) && !draft.has_its_own_load {
            draft.mistake(
                run,
                "has neither a weight nor a load of its own, while others share the run's",
                "add `weight = 1`, or what its load is, such as `vus = 5` and `duration = \"1m\"`",
            );
        }
    }
    let whole = load(run, around);
    match whole.executor.dealt(&weights) {
        Ok(parts) => {
            let rooms = deal(whole.max_vus.get().into(), &weights);
            parts
                .into_iter()
                .zip(rooms)
                .map(|(executor, room)| {
                    let room = u32::try_from(room).unwrap_or(u32::MAX);
                    let least = executor.vus().unwrap_or(NonZeroU32::MIN);
                    Some(Load {
                        executor,
                        max_vus: NonZeroU32::new(room).map_or(least, |room| room.max(least)),
                        timing: whole.timing,
                    })
                })
                .collect()
        }
        Err(short) => {
            let (whole, what) = (short.whole, short.what);
            sharing[short.without].mistake(
                run,
                &format!("gets none of {whole} {what}, for its weight is too small"),
                "raise the load or the weight",
            );
            sharing.iter().map(|_| None).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Place, Resolved, resolve_all};
    use super::*;
    use crate::error::Error;
    use crate::plan::Executor;

    fn around() -> Surroundings {
        Surroundings {
            stdout_is_terminal: false,
            has_keys: false,
            cores: 4,
            vus_room: 9_000,
            cache_home: None,
        }
    }

    fn said(file: &str, flags: &[(Key, &str)]) -> Said {
        let mut user = Options::default();
        for (key, text) in flags {
            user.say(*key, *text, Place::Flag);
        }
        Said {
            user,
            file: File::parse(file, Path::new("load.toml")),
            ..Said::default()
        }
    }

    fn resolved(file: &str, flags: &[(Key, &str)]) -> Resolved {
        resolve_all(&said(file, flags), &around()).expect("a valid plan")
    }

    fn refused(said: &Said) -> Vec<String> {
        match resolve_all(said, &around()) {
            Err(Error::Config(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    const MIX: &str = r#"
script = "shop.wasm"
base-url = "http://a.test"
vus = 50
duration = "1m"
tags = { team = "a", part = "all" }

[scenarios.browse]
weight = 80
tags = { part = "browse" }

[scenarios.buy]
weight = 20
script = "buy.wasm"
base-url = "http://b.test"
start-time = "10s"

[scenarios.audit]
rate = "2/s"
duration = "30s"
max-vus = 3
"#;

    fn vus(executor: &Executor) -> u32 {
        executor.vus().map_or(0, NonZeroU32::get)
    }

    const GROWTH: &str = r#"
script = "shop.wasm"
duration = "1m"
[scenarios.few]
vus = 2
[scenarios.many]
vus = 90
[scenarios.capped]
vus = 5
max-vus = 6
[scenarios.counted]
vus = 2
iterations = 10
"#;

    #[test]
    fn where_somebody_steers_closed_models_may_grow_as_far_as_there_is_room() {
        let around = Surroundings {
            vus_room: 400,
            ..around()
        };
        let most = |flags| {
            let resolved = resolve_all(&said(GROWTH, flags), &around).expect("a valid plan");
            let scenarios = resolved.plan.scenarios.iter();
            scenarios
                .map(|scenario| scenario.max_vus.get())
                .collect::<Vec<_>>()
        };
        assert_eq!(most(&[]), [2, 90, 6, 2]);
        // Of the 300 left, the first needs 98 more, and the second gets its half.
        assert_eq!(most(&[(Key::Control, "[::1]:0")]), [100, 240, 6, 2]);
    }

    #[test]
    fn scenarios_share_a_load_or_have_their_own() {
        let plan = resolved(MIX, &[]).plan;
        assert_eq!(plan.test_plan, "load");
        let [browse, buy, audit] = &plan.scenarios[..] else {
            panic!("{:?}", plan.scenarios);
        };
        assert_eq!((vus(&browse.executor), browse.max_vus.get()), (40, 40));
        assert_eq!((vus(&buy.executor), buy.max_vus.get()), (10, 10));
        assert!(audit.executor.is_open());
        assert_eq!(audit.max_vus.get(), 3);
        assert_eq!(buy.start_time.as_secs(), 10);
        assert_eq!(browse.start_time.as_secs(), 0);
        let urls = [browse, buy, audit].map(|scenario| scenario.http.base_url.as_deref());
        let [a, b] = [Some("http://a.test"), Some("http://b.test")];
        assert_eq!(urls, [a, b, a]);
        let tags: Vec<_> = browse.tags.iter().map(|(_, value)| &**value).collect();
        assert_eq!(tags, ["a", "browse"]);
        assert_eq!(&*plan.tags[1].1, "all");
        let script = |scenario: &Scenario| format!("{:?}", scenario.script);
        assert!(script(buy).contains("\"buy.wasm\""), "{}", script(buy));
        assert!(script(audit).contains("\"shop.wasm\""), "{}", script(audit));
    }

    #[test]
    fn a_flag_holds_for_every_scenario() {
        let plan = resolved(MIX, &[(Key::Vus, "10"), (Key::BaseUrl, "http://c.test")]).plan;
        let counts: Vec<_> = plan.scenarios[..2]
            .iter()
            .map(|scenario| vus(&scenario.executor))
            .collect();
        assert_eq!(counts, [8, 2]);
        for scenario in &plan.scenarios {
            assert_eq!(scenario.http.base_url.as_deref(), Some("http://c.test"));
        }
        let plan = resolved(MIX, &[(Key::Iterations, "10")]).plan;
        let counts: Vec<_> = plan
            .scenarios
            .iter()
            .map(|scenario| scenario.executor.iterations())
            .collect();
        assert_eq!(counts, [Some(8), Some(2), Some(10)]);
    }

    #[test]
    fn what_a_script_says_is_for_its_scenario_only() {
        let mut said = said(
            "[scenarios.a]\nscript = \"a.wasm\"\n[scenarios.b]\nscript = \"b.wasm\"\n",
            &[],
        );
        said.scripts = vec![
            Options::from_script_json(r#"{"vus": 3, "thresholds": "checks: rate > 0.9"}"#),
            Options::from_script_json(r#"{"vus": 5, "tags": {"x": "1"}}"#),
        ];
        let plan = resolve_all(&said, &around()).expect("valid").plan;
        assert_eq!(vus(&plan.scenarios[0].executor), 3);
        assert_eq!(vus(&plan.scenarios[1].executor), 5);
        assert_eq!(plan.thresholds.len(), 1);
        assert!(plan.tags.is_empty() && plan.scenarios[0].tags.is_empty());
        assert_eq!(plan.scenarios[1].tags.len(), 1);
    }

    #[test]
    fn mistakes_come_together_and_once() {
        let file = r#"
vus = 3
base-url = "a"
[scenarios.a]
weight = 90
[scenarios.b]
weight = 1
[scenarios.c]
weight = 0
[scenarios.d]
weight = 1
duration = "5"
[scenarios.e]
"#;
        let found = refused(&said(file, &[(Key::HttpTimeout, "5")]));
        let script = |line: u32, name: &str| {
            format!(
                "load.toml:{line}: the scenario `{name}` has no script\nhint: add `script = \"FILE.wasm\"`"
            )
        };
        let mut expected = vec![
            "load.toml:8: the scenario `c` has the weight `0`, and expected is a whole number from 1\nhint: such as `weight = 80`".to_owned(),
            "load.toml:10: the scenario `d` has both a weight and a load of its own\nhint: leave out one: a weight is a part of the load that stands above the scenarios".to_owned(),
            "load.toml:13: the scenario `e` has neither a weight nor a load of its own, while others share the run's\nhint: add `weight = 1`, or what its load is, such as `vus = 5` and `duration = \"1m\"`".to_owned(),
            "load.toml:6: the scenario `b` gets none of 3 VUs, for its weight is too small\nhint: raise the load or the weight".to_owned(),
            "load.toml:3: `base-url`: expected an absolute `http` or `https` URL, found `a`\nhint: did you mean `http://a`?".to_owned(),
            "`--http-timeout`: expected a duration with its unit, found `5`\nhint: did you mean `5s`?".to_owned(),
            "load.toml:12: `duration`: expected a duration with its unit, found `5`\nhint: did you mean `5s`?".to_owned(),
        ];
        expected.extend(
            [(4, "a"), (6, "b"), (8, "c"), (10, "d"), (13, "e")]
                .map(|(line, name)| script(line, name)),
        );
        for text in &expected {
            assert!(found.contains(text), "no {text:?} in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn a_run_without_a_script_says_so() {
        let found = refused(&said("vus = 3", &[]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("there is no script to run"),
            "{found:?}"
        );
    }
}
