//! Everything that can be said about a run, as text and with where it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Problem;

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// How many VUs.
    Vus,
    /// For how long iterations start.
    Duration,
    /// How many iterations.
    Iterations,
    /// How many iterations start a second.
    Rate,
    /// What the number of VUs, or the rate, goes to, and in which time.
    Stage,
    /// What says while the run goes on how much load there is.
    Shape,
    /// How iterations are started.
    Executor,
    /// How many VUs there may be at once.
    MaxVus,
    /// How iterations that start at a rate are spread.
    Arrivals,
    /// How long after the run's start iterations begin to start.
    StartTime,
    /// How long iterations may go on after the end.
    GracefulStop,
    /// How long an iteration may go on in a VU that is one too many.
    GracefulRampDown,
    /// What everything random follows from.
    Seed,
    /// What relative URLs are resolved against.
    BaseUrl,
    /// Which hosts a script may reach.
    AllowHost,
    /// Whether certificates are not checked.
    Insecure,
    /// How long a request may take.
    HttpTimeout,
    /// The script's environment.
    Env,
    /// The files whose rows scripts are given.
    Data,
    /// The memory of one VU.
    VuMemory,
    /// How long a call into the script may compute.
    IterationTimeout,
    /// How long `setup` may take.
    SetupTimeout,
    /// How long `teardown` may take.
    TeardownTimeout,
    /// How long `on-start` may take.
    OnStartTimeout,
    /// How long `on-stop` may take.
    OnStopTimeout,
    /// How many messages scripts may log.
    LogMessages,
    /// The name of the test plan.
    TestPlan,
    /// Tags on everything that is reported.
    Tag,
    /// By which tags' values results are split.
    GroupBy,
    /// What the result is judged by.
    Threshold,
    /// How many distinct names get a row of their own.
    Names,
    /// Where the summary goes as JSON.
    Summary,
    /// Who writes log entries.
    Recorder,
    /// Where log entries go.
    Telemetry,
    /// Where the run's events go, to be fed to recorders again.
    Events,
    /// How often statistics are reported.
    StatsInterval,
    /// How often the use of the machine is reported.
    SystemInterval,
    /// Whether neither progress nor summary is shown.
    Quiet,
    /// Which diagnostics are shown.
    Log,
    /// How many threads run VUs.
    Threads,
    /// Where compiled components are kept.
    CacheDir,
    /// Which file says more.
    Config,
    /// Where the control API listens.
    Control,
    /// Whether the control API may listen to other machines.
    ControlRemote,
}

/// How often an option can be given, and what several layers of it come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Once, with a value: the strongest layer wins.
    One,
    /// Once, without a value: the strongest layer wins.
    Switch,
    /// Several times, in a variable separated by this: the strongest layer
    /// replaces the others.
    List(char),
    /// Several times as `NAME=VALUE`, in a variable separated by this: a name
    /// in a stronger layer replaces the same name in the others.
    Pairs(char),
}

/// Who may give an option beside the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The script may say what is best for it.
    Script,
    /// The user alone: it reaches the machine's files, or guards against the
    /// script.
    User,
}

/// An option's names and rules. The texts of the help are in `cli::args`.
struct Definition {
    key: Key,
    flag: &'static str,
    variable: Option<&'static str>,
    arity: Arity,
    trust: Trust,
    default: Option<&'static str>,
}

const fn option(
    key: Key,
    flag: &'static str,
    variable: &'static str,
    arity: Arity,
    trust: Trust,
    default: &'static str,
) -> Definition {
    Definition {
        key,
        flag,
        variable: if variable.is_empty() {
            None
        } else {
            Some(variable)
        },
        arity,
        trust,
        default: if default.is_empty() {
            None
        } else {
            Some(default)
        },
    }
}

#[rustfmt::skip]
const DEFINITIONS: [Definition; 44] = {
    use Arity::{List, One, Pairs, Switch};
    use Trust::{Script, User};
    [
        option(Key::Config, "config", "SQUALL_CONFIG", One, User, ""),
        option(Key::Vus, "vus", "SQUALL_VUS", One, Script, "1"),
        option(Key::Duration, "duration", "SQUALL_DURATION", One, Script, ""),
        option(Key::Iterations, "iterations", "SQUALL_ITERATIONS", One, Script, "one for each VU"),
        option(Key::Rate, "rate", "SQUALL_RATE", One, Script, ""),
        option(Key::Stage, "stage", "SQUALL_STAGES", List(','), Script, ""),
        option(Key::Shape, "shape", "SQUALL_SHAPE", One, User, ""),
        option(Key::Executor, "executor", "SQUALL_EXECUTOR", One, Script, "from the other flags"),
        option(Key::MaxVus, "max-vus", "SQUALL_MAX_VUS", One, Script, "with a rate 10000, or as many as fit"),
        option(Key::Arrivals, "arrivals", "SQUALL_ARRIVALS", One, Script, "even"),
        option(Key::StartTime, "start-time", "SQUALL_START_TIME", One, Script, "0s"),
        option(Key::GracefulStop, "graceful-stop", "SQUALL_GRACEFUL_STOP", One, Script, "30s"),
        option(Key::GracefulRampDown, "graceful-ramp-down", "SQUALL_GRACEFUL_RAMP_DOWN", One, Script, "30s"),
        option(Key::Seed, "seed", "SQUALL_SEED", One, Script, "random, and printed"),
        option(Key::BaseUrl, "base-url", "SQUALL_BASE_URL", One, Script, ""),
        option(Key::AllowHost, "allow-host", "SQUALL_ALLOW_HOSTS", List(','), User, "any"),
        option(Key::Insecure, "insecure", "SQUALL_INSECURE", Switch, User, ""),
        option(Key::HttpTimeout, "http-timeout", "SQUALL_HTTP_TIMEOUT", One, Script, "60s"),
        option(Key::Env, "env", "", Pairs(','), Script, ""),
        option(Key::Data, "data", "SQUALL_DATA", Pairs(';'), User, ""),
        option(Key::VuMemory, "vu-memory", "SQUALL_VU_MEMORY", One, User, "64MiB"),
        option(Key::IterationTimeout, "iteration-timeout", "SQUALL_ITERATION_TIMEOUT", One, User, "5s"),
        option(Key::SetupTimeout, "setup-timeout", "SQUALL_SETUP_TIMEOUT", One, Script, "60s"),
        option(Key::TeardownTimeout, "teardown-timeout", "SQUALL_TEARDOWN_TIMEOUT", One, Script, "60s"),
        option(Key::OnStartTimeout, "on-start-timeout", "SQUALL_ON_START_TIMEOUT", One, Script, "60s"),
        option(Key::OnStopTimeout, "on-stop-timeout", "SQUALL_ON_STOP_TIMEOUT", One, Script, "60s"),
        option(Key::LogMessages, "log-messages", "SQUALL_LOG_MESSAGES", One, User, "1000"),
        option(Key::TestPlan, "test-plan", "SQUALL_TEST_PLAN", One, Script, "the script's file name"),
        option(Key::Tag, "tag", "SQUALL_TAGS", Pairs(','), Script, ""),
        option(Key::GroupBy, "group-by", "SQUALL_GROUP_BY", List(','), Script, "scenario, if there are several"),
        option(Key::Threshold, "threshold", "SQUALL_THRESHOLDS", List(';'), Script, ""),
        option(Key::Names, "names", "SQUALL_NAMES", One, User, "1000"),
        option(Key::Summary, "summary", "SQUALL_SUMMARY", One, User, ""),
        option(Key::Recorder, "recorder", "SQUALL_RECORDERS", List(','), User, "json"),
        option(Key::Telemetry, "telemetry", "SQUALL_TELEMETRY", One, User, "- unless stdout is a terminal"),
        option(Key::Events, "events", "SQUALL_EVENTS", One, User, ""),
        option(Key::StatsInterval, "stats-interval", "SQUALL_STATS_INTERVAL", One, Script, "2s"),
        option(Key::SystemInterval, "system-interval", "SQUALL_SYSTEM_INTERVAL", One, Script, "2s"),
        option(Key::Quiet, "quiet", "SQUALL_QUIET", Switch, User, ""),
        option(Key::Log, "log", "SQUALL_LOG", One, User, "warn"),
        option(Key::Threads, "threads", "SQUALL_THREADS", One, User, "the cores available"),
        option(Key::CacheDir, "cache-dir", "SQUALL_CACHE_DIR", One, User, "$XDG_CACHE_HOME/squall or ~/.cache/squall"),
        option(Key::Control, "control", "SQUALL_CONTROL", One, User, ""),
        option(Key::ControlRemote, "control-remote", "SQUALL_CONTROL_REMOTE", Switch, User, ""),
    ]
};

impl Key {
    /// Every option, in the order of the help.
    pub fn all() -> impl Iterator<Item = Self> {
        DEFINITIONS.iter().map(|definition| definition.key)
    }

    fn definition(self) -> &'static Definition {
        DEFINITIONS
            .iter()
            .find(|definition| definition.key == self)
            .expect("every option is defined")
    }

    /// The long flag, without the dashes.
    pub fn flag(self) -> &'static str {
        self.definition().flag
    }

    /// The environment variable.
    pub fn variable(self) -> Option<&'static str> {
        self.definition().variable
    }

    /// How often it can be given.
    pub fn arity(self) -> Arity {
        self.definition().arity
    }

    /// The default in words; `None` if without the option there is nothing.
    pub fn default(self) -> Option<&'static str> {
        self.definition().default
    }

    /// Whether a script may give it for itself.
    pub fn is_for_scripts(self) -> bool {
        self.definition().trust == Trust::Script
    }

    /// Whether each scenario of a run may have its own.
    pub(super) fn is_for_scenarios(self) -> bool {
        matches!(
            self,
            Self::Vus
                | Self::Duration
                | Self::Iterations
                | Self::Rate
                | Self::Stage
                | Self::Executor
                | Self::MaxVus
                | Self::Arrivals
                | Self::StartTime
                | Self::GracefulStop
                | Self::GracefulRampDown
                | Self::BaseUrl
                | Self::HttpTimeout
                | Self::Env
                | Self::Tag
        )
    }

    /// The option of this name in a file or in a script's options: the flag,
    /// or for what can be repeated also its plural, which the variable has.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().find(|key| name == key.flag() || Some(name) == key.plural().as_deref())
    }

    fn plural(self) -> Option<String> {
        let name = self.variable()?.strip_prefix("SQUALL_")?;
        Some(name.to_ascii_lowercase().replace('_', "-"))
    }
}

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
    /// By the script.
    Script,
    /// In the configuration file.
    File {
        /// The file.
        name: Arc<str>,
        /// The line, from 1.
        line: u32,
    },
    /// By the argument of a verb, such as the recorder of `recorder test`.
    Argument,
    /// By the program itself.
    Default,
}

/// What was said about an option, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The value as it was written.
    pub text: String,
    /// Where.
    pub place: Place,
}

impl Given {
    /// The place in words: `--vus`, or the variable, or the script's option.
    pub fn place_of(&self, key: Key) -> String {
        let flag = key.flag();
        match &self.place {
            Place::Flag => format!("`--{flag}`"),
            Place::Variable => format!("variable `{}`", key.variable().unwrap_or(flag)),
            Place::Script => format!("the script's option `{flag}`"),
            Place::File { name, line } => format!("{name}:{line}: `{flag}`"),
            Place::Argument => format!("the {flag}"),
            Place::Default => format!("the default of `--{flag}`"),
        }
    }
}

/// One layer of what was said, or several merged. Every option can be absent.
#[derive(Debug, Clone, Default)]
pub struct Options {
    given: BTreeMap<Key, Vec<Given>>,
    mistakes: Vec<Problem>,
}

/// What shapes the load.
const SHAPE: [Key; 5] = [
    Key::Duration,
    Key::Iterations,
    Key::Rate,
    Key::Stage,
    Key::Executor,
];
/// What only goes with the shape that it was given for.
const OF_A_SHAPE: [Key; 3] = [Key::MaxVus, Key::Arrivals, Key::GracefulRampDown];

impl Options {
    /// Adds a value. For what can be given once, the last one counts.
    pub fn say(&mut self, key: Key, text: impl Into<String>, place: Place) {
        let text = text.into();
        self.give(key, Given { text, place });
    }

    /// As [`Options::say`].
    pub(super) fn give(&mut self, key: Key, given: Given) {
        let values = self.given.entry(key).or_default();
        if matches!(key.arity(), Arity::One | Arity::Switch) {
            values.clear();
        }
        values.push(given);
    }

    /// Notes a mistake in the layer itself, such as an unknown name.
    pub(super) fn mistake(&mut self, problem: Problem) {
        self.mistakes.push(problem);
    }

    /// The mistakes in the layers themselves.
    pub fn mistakes(&self) -> &[Problem] {
        &self.mistakes
    }

    /// What was said about an option that can be given once.
    pub fn get(&self, key: Key) -> Option<&Given> {
        self.all(key).last()
    }

    /// Everything that was said about an option, the weakest layer first.
    pub fn all(&self, key: Key) -> &[Given] {
        self.given.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Whether anything at all was said.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.mistakes.is_empty()
    }

    /// Forgets what was said about an option.
    pub fn forget(&mut self, key: Key) {
        self.given.remove(&key);
    }

    /// Whether anything was said that shapes the load.
    pub fn shapes_the_load(&self) -> bool {
        SHAPE.iter().any(|key| self.given.contains_key(key))
    }

    /// Merges with a weaker layer, as each option's [`Arity`] says. The options
    /// that shape the load (`duration`, `iterations`, `rate`, `stage`,
    /// `executor`) belong together: a layer that has one of them hides all of
    /// the weaker layer's, and what only goes with them.
    #[must_use]
    pub fn over(mut self, mut weaker: Self) -> Self {
        let has_a_shape = self.given.contains_key(&Key::Shape);
        if has_a_shape || self.shapes_the_load() {
            let shape = SHAPE.iter().chain(&OF_A_SHAPE);
            shape.for_each(|key| weaker.forget(*key));
        }
        if has_a_shape {
            weaker.forget(Key::Vus);
        }
        // To a shape a duration is a limit, and no load of its own.
        let loads = [Key::Iterations, Key::Rate, Key::Stage, Key::Executor];
        if loads.iter().any(|key| self.given.contains_key(key)) {
            weaker.forget(Key::Shape);
        }
        for (key, mut values) in weaker.given {
            let ours = self.given.entry(key).or_default();
            if matches!(key.arity(), Arity::Pairs(_)) {
                values.append(ours);
                *ours = values;
            } else if ours.is_empty() {
                *ours = values;
            }
        }
        self.mistakes.append(&mut weaker.mistakes);
        self
    }
}

/// The candidate that is most like `word`, if one is.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(place: Place, values: &[(Key, &str)]) -> Options {
        let mut options = Options::default();
        for (key, text) in values {
            options.say(*key, *text, place.clone());
        }
        options
    }

    fn texts(options: &Options, key: Key) -> Vec<&str> {
        options.all(key).iter().map(|given| &*given.text).collect()
    }

    #[test]
    fn the_stronger_layer_wins_and_the_weaker_fills_in() {
        let merged = said(Place::Flag, &[(Key::Vus, "5")])
            .over(said(Place::Variable, &[(Key::Vus, "7"), (Key::Seed, "1")]));
        assert_eq!(texts(&merged, Key::Vus), ["5"]);
        assert_eq!(
            merged.get(Key::Seed).map(|given| &given.place),
            Some(&Place::Variable)
        );
    }

    #[test]
    fn a_list_replaces_a_weaker_one_and_pairs_are_joined() {
        let merged = said(Place::Flag, &[(Key::Threshold, "a"), (Key::Tag, "x=1")]).over(said(
            Place::Script,
            &[(Key::Threshold, "b"), (Key::Tag, "y=2")],
        ));
        assert_eq!(texts(&merged, Key::Threshold), ["a"]);
        assert_eq!(texts(&merged, Key::Tag), ["y=2", "x=1"]);
    }

    #[test]
    fn a_layer_that_shapes_the_load_hides_the_weaker_shape() {
        let script = [(Key::Iterations, "10"), (Key::Vus, "3")];
        let merged = said(Place::Flag, &[(Key::Duration, "5s")]).over(said(Place::Script, &script));
        assert_eq!(texts(&merged, Key::Iterations), [""; 0]);
        assert_eq!(texts(&merged, Key::Vus), ["3"]);
    }

    #[test]
    fn every_flag_but_env_has_its_variable() {
        for key in Key::all() {
            let stem = format!("SQUALL_{}", key.flag().to_uppercase().replace('-', "_"));
            match key.variable() {
                None => assert_eq!(key, Key::Env),
                Some(variable) => {
                    let repeatable = matches!(key.arity(), Arity::List(_) | Arity::Pairs(_));
                    // "Data" is a plural already, and nobody says "group-bys".
                    let plural = repeatable && key != Key::Data && key != Key::GroupBy;
                    let expected = if plural { format!("{stem}S") } else { stem };
                    assert_eq!(variable, expected);
                }
            }
        }
    }

    #[test]
    fn the_readme_lists_every_flag_with_its_variable() {
        let readme = include_str!("../../../README.md");
        let rows: Vec<_> = readme
            .lines()
            .filter(|line| line.starts_with("| `--"))
            // Of the command line alone: where a run is played, not what it is.
            .filter(|line| !line.starts_with("| `--workers` "))
            .collect();
        assert_eq!(rows.len(), Key::all().count());
        for (key, row) in Key::all().zip(rows) {
            let variable = key
                .variable()
                .map_or_else(|| "–".to_owned(), |variable| format!("`{variable}`"));
            let start = format!("| `--{}` | {variable} | ", key.flag());
            assert!(row.starts_with(&start), "{row}");
            let default = key.default().filter(|default| !default.contains(' '));
            assert!(row.contains(default.unwrap_or("")), "{row}");
        }
    }
}
