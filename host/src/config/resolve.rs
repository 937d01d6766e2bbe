//! From merged options to a plan: every text parsed, every rule checked, every
//! mistake collected.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::options::{Given, Key, Options};
use super::recorders::recorders;
use super::values::{self, Parsed, Wrong};
use crate::error::{Error, Problem};
use crate::measure::Tag;
use crate::plan::{
    Executor, HttpPlan, Limits, Plan, RecorderSpec, Scenario, ScriptSource, SinkSpec,
};

/// For how long shared iterations start if no duration is given.
const ITERATIONS_CAP: Duration = Duration::from_secs(600);

/// What resolving needs to know of the machine and the process.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// How many cores the process may use.
    pub cores: usize,
    /// The user's folder for caches, such as `~/.cache`, if it is known.
    pub cache_home: Option<PathBuf>,
}

/// What was said, resolved: the plan, and what concerns this process alone.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The plan.
    pub plan: Plan,
    /// What concerns this process alone.
    pub settings: Settings,
    /// What is allowed, but hardly meant: a sentence each.
    pub warnings: Vec<String>,
}

/// What concerns this process and not the run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Where log entries go unless their recorder says otherwise.
    pub telemetry: Telemetry,
    /// Where the run's events go, to be fed to recorders again.
    pub events: Option<PathBuf>,
    /// Where the summary goes as JSON.
    pub summary: Option<PathBuf>,
    /// Whether neither progress nor summary is shown.
    pub quiet: bool,
    /// Which diagnostics are shown: a level or directives.
    pub log: String,
    /// Where compiled components are kept, if they are.
    pub cache_dir: Option<PathBuf>,
    /// How many threads run VUs.
    pub threads: usize,
}

/// Where log entries go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Telemetry {
    /// To stdout.
    Stdout,
    /// To a file, which is made anew.
    File(PathBuf),
    /// Nowhere: nobody would read them.
    Nowhere,
}

/// Resolves what was said about a run of `script`.
///
/// # Errors
///
/// [`Error::Config`] with every mistake there is.
pub fn resolve(
    script: ScriptSource,
    options: &Options,
    around: &Surroundings,
) -> Result<Resolved, Error> {
    let mut read = Reader {
        options,
        mistakes: options.mistakes().to_vec(),
    };
    let mut warnings = Vec::new();

    let executor = executor(&mut read);
    let telemetry = telemetry(&mut read, around);
    let summary = read.one(Key::Summary, values::path);
    let (telemetry, recorders) = recorders(&mut read, telemetry, summary.as_deref(), &script);
    let http = HttpPlan {
        base_url: read.one(Key::BaseUrl, values::base_url),
        timeout: read
            .one(Key::HttpTimeout, values::duration_above_zero)
            .unwrap_or(Duration::from_secs(60)),
        allow_hosts: read.given(Key::AllowHost).then(|| {
            let mut hosts = read.each(Key::AllowHost, values::host);
            hosts.sort();
            hosts.dedup();
            hosts
        }),
        insecure_tls: read.switch(Key::Insecure),
    };
    if let Some(host) = unreachable_host(&http) {
        warnings.push(format!(
            "`--allow-host` does not name `{host}`, the host of `--base-url`: relative URLs will fail"
        ));
    }
    let plan = Plan {
        test_plan: read
            .one(Key::TestPlan, |text| Ok(text.to_owned()))
            .unwrap_or_else(|| default_name(&script)),
        thresholds: read.each(Key::Threshold, values::threshold),
        tags: last_of_each(read.each(Key::Tag, values::tag), |tag: &Tag| &tag.0),
        seed: read
            .one(Key::Seed, values::seed)
            .unwrap_or_else(random_seed),
        http,
        limits: Limits {
            vu_memory: read
                .one(Key::VuMemory, values::vu_memory)
                .unwrap_or(64 << 20),
            iteration_timeout: read
                .one(Key::IterationTimeout, values::duration_above_zero)
                .unwrap_or(Duration::from_secs(5)),
            names: read.one(Key::Names, values::names).unwrap_or(1000),
            log_messages: read.one(Key::LogMessages, values::count).unwrap_or(1000),
        },
        graceful_stop: read
            .one(Key::GracefulStop, values::duration)
            .unwrap_or(Duration::from_secs(30)),
        stats_interval: read
            .one(Key::StatsInterval, values::interval)
            .unwrap_or(Duration::from_secs(2)),
        system_interval: read
            .one(Key::SystemInterval, values::interval)
            .unwrap_or(Duration::from_secs(2)),
        recorders,
        scenarios: vec![Scenario {
            name: "default".into(),
            script,
            executor,
            env: last_of_each(read.each(Key::Env, values::pair), |pair| &pair.0),
        }],
    };
    let settings = Settings {
        events: events(&mut read, &telemetry, &plan.recorders),
        telemetry,
        summary,
        quiet: read.switch(Key::Quiet),
        log: read
            .one(Key::Log, values::log)
            .unwrap_or_else(|| "warn".to_owned()),
        cache_dir: match read.one(Key::CacheDir, values::path) {
            Some(path) if path.as_os_str() == "none" => None,
            Some(path) => Some(path),
            None => around.cache_home.as_ref().map(|home| home.join("squall")),
        },
        threads: read
            .one(Key::Threads, values::threads)
            .unwrap_or(around.cores.clamp(1, 1024)),
    };
    if read.mistakes.is_empty() {
        Ok(Resolved {
            plan,
            settings,
            warnings,
        })
    } else {
        Err(Error::Config(read.mistakes))
    }
}

/// Parses options and collects what is wrong with them. What is wrong counts as
/// absent, so that reading goes on.
pub(super) struct Reader<'a> {
    pub(super) options: &'a Options,
    mistakes: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn given(&self, key: Key) -> bool {
        !self.options.all(key).is_empty()
    }

    pub(super) fn one<T>(&mut self, key: Key, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let given = self.options.get(key)?.clone();
        self.parse(key, &given, parse)
    }

    fn each<T>(&mut self, key: Key, parse: impl Fn(&str) -> Parsed<T>) -> Vec<T> {
        let all = self.options.all(key).to_vec();
        all.iter()
            .filter_map(|given| self.parse(key, given, &parse))
            .collect()
    }

    fn switch(&mut self, key: Key) -> bool {
        self.one(key, values::switch).unwrap_or(false)
    }

    pub(super) fn parse<T>(
        &mut self,
        key: Key,
        given: &Given,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        parse(&given.text)
            .map_err(|wrong| self.wrong(key, given, wrong))
            .ok()
    }

    pub(super) fn wrong(&mut self, key: Key, given: &Given, wrong: Wrong) {
        let what = format!(
            "{}: expected {}, found `{}`",
            given.place_of(key),
            wrong.expected,
            given.text
        );
        self.mistakes.push(Problem {
            what,
            hint: wrong.hint,
        });
    }

    /// A mistake in how options go together, told at the place of one of them.
    pub(super) fn clash(&mut self, key: Key, what: &str, hint: &str) {
        let place = self.options.get(key).map_or_else(
            || format!("`--{}`", key.flag()),
            |given| given.place_of(key),
        );
        self.mistakes
            .push(Problem::new(format!("{place}: {what}")).hint(hint));
    }
}

/// How iterations are started. Without a name it follows from what is given:
/// iterations make `shared-iterations`, with a duration as their cap; a duration
/// alone makes `constant-vus`; neither, one iteration for each VU.
fn executor(read: &mut Reader<'_>) -> Executor {
    let vus = read.one(Key::Vus, values::vus).unwrap_or(NonZeroU32::MIN);
    let duration = read.one(Key::Duration, values::duration_above_zero);
    let iterations = read.one(Key::Iterations, values::iterations);
    let shared = Executor::SharedIterations {
        vus,
        iterations: iterations.map_or(u64::from(vus.get()), NonZeroU64::get),
        max_duration: duration.unwrap_or(ITERATIONS_CAP),
    };
    match read.one(Key::Executor, values::executor) {
        Some("constant-vus") => {
            if read.given(Key::Iterations) {
                read.clash(
                    Key::Iterations,
                    "the executor `constant-vus` runs for a time, not for a number of iterations",
                    "leave out `--executor`, or `--iterations`",
                );
            }
            if !read.given(Key::Duration) {
                read.clash(
                    Key::Executor,
                    "the executor `constant-vus` needs a duration",
                    "add `--duration`, such as `--duration 30s`",
                );
            }
            Executor::ConstantVus {
                vus,
                duration: duration.unwrap_or(ITERATIONS_CAP),
            }
        }
        Some(_) => shared,
        None => match duration {
            Some(duration) if !read.given(Key::Iterations) => {
                Executor::ConstantVus { vus, duration }
            }
            _ => shared,
        },
    }
}

/// Where log entries go unless their recorder says otherwise.
fn telemetry(read: &mut Reader<'_>, around: &Surroundings) -> Telemetry {
    match read.one(Key::Telemetry, values::path) {
        Some(path) if path.as_os_str() == "-" => Telemetry::Stdout,
        Some(path) => Telemetry::File(path),
        None if around.stdout_is_terminal => Telemetry::Nowhere,
        None => Telemetry::Stdout,
    }
}

/// Where the run's events go: to a file of their own.
fn events(
    read: &mut Reader<'_>,
    telemetry: &Telemetry,
    recorders: &[RecorderSpec],
) -> Option<PathBuf> {
    let path = read.one(Key::Events, values::path)?;
    let sink = SinkSpec::file(path.clone());
    let taken = *telemetry == Telemetry::File(path.clone())
        || recorders
            .iter()
            .any(|recorder| recorder.sink.as_ref() == Some(&sink));
    if path.as_os_str() == "-" || taken {
        read.clash(
            Key::Events,
            "events have a file of their own, beside the log entries",
            "give it another name, such as `events.ndjson`",
        );
    }
    Some(path)
}

/// The host of the base URL, if the script may not reach it.
fn unreachable_host(http: &HttpPlan) -> Option<String> {
    let allowed = http.allow_hosts.as_ref()?;
    let base: http::Uri = http.base_url.as_ref()?.parse().ok()?;
    let host = base.host()?.to_ascii_lowercase();
    (!allowed.contains(&host)).then_some(host)
}

/// The script's file name, without `.wasm`.
fn default_name(script: &ScriptSource) -> String {
    match script {
        ScriptSource::Demo => "demo".to_owned(),
        ScriptSource::File(path) => path
            .file_stem()
            .map_or_else(|| "script".into(), |stem| stem.to_string_lossy())
            .into_owned(),
    }
}

/// Of several with one name the last, in the order in which names first came.
fn last_of_each<T>(all: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in all {
        match kept.iter().position(|known| name(known) == name(&item)) {
            Some(at) => kept[at] = item,
            None => kept.push(item),
        }
    }
    kept
}

/// A seed that a person can type again.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    fn around() -> Surroundings {
        Surroundings {
            stdout_is_terminal: false,
            cores: 4,
            cache_home: Some("/home/u/.cache".into()),
        }
    }

    fn flags(values: &[(Key, &str)]) -> Options {
        let mut options = Options::default();
        for (key, text) in values {
            options.say(*key, *text, Place::Flag);
        }
        options
    }

    fn resolved(values: &[(Key, &str)]) -> Resolved {
        resolve(
            ScriptSource::File("a/shop.wasm".into()),
            &flags(values),
            &around(),
        )
        .expect("valid")
    }

    fn refused(options: &Options) -> Vec<String> {
        match resolve(ScriptSource::Demo, options, &around()) {
            Err(Error::Config(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_said_is_one_iteration() {
        let Resolved { plan, settings, .. } = resolved(&[]);
        assert_eq!(
            plan.scenarios[0].executor,
            Executor::SharedIterations {
                vus: NonZeroU32::MIN,
                iterations: 1,
                max_duration: Duration::from_secs(600),
            }
        );
        assert_eq!(plan.test_plan, "shop");
        assert_eq!(plan.recorders.len(), 1);
        assert_eq!(plan.limits.vu_memory, 64 << 20);
        assert_eq!(settings.telemetry, Telemetry::Stdout);
        assert_eq!(settings.threads, 4);
        assert_eq!(
            settings.cache_dir.as_deref(),
            Some("/home/u/.cache/squall".as_ref())
        );
    }

    #[test]
    fn the_executor_follows_from_duration_and_iterations() {
        let executor = |values: &[(Key, &str)]| resolved(values).plan.scenarios[0].executor;
        let vus = NonZeroU32::new(5).expect("not zero");
        let duration = Duration::from_secs(30);
        assert_eq!(
            executor(&[(Key::Vus, "5"), (Key::Duration, "30s")]),
            Executor::ConstantVus { vus, duration }
        );
        assert_eq!(
            executor(&[
                (Key::Vus, "5"),
                (Key::Duration, "30s"),
                (Key::Iterations, "100")
            ]),
            Executor::SharedIterations {
                vus,
                iterations: 100,
                max_duration: duration
            }
        );
        assert_eq!(
            executor(&[(Key::Vus, "5"), (Key::Executor, "shared-iterations")]),
            Executor::SharedIterations {
                vus,
                iterations: 5,
                max_duration: ITERATIONS_CAP
            }
        );
    }

    #[test]
    fn all_mistakes_come_at_once_each_with_its_place_and_a_hint() {
        let mut options = flags(&[
            (Key::Vus, "many"),
            (Key::Duration, "30"),
            (Key::AllowHost, "https://Shop.example:443/"),
            (Key::Recorder, "jsn"),
            (Key::Threshold, "http_req_durations: p(95) < 500"),
            (Key::Log, "warning"),
        ]);
        options.say(Key::BaseUrl, "localhost:8080", Place::Variable);
        options.say(Key::Tag, "team", Place::Script);
        options.say(Key::VuMemory, "1KiB", Place::Variable);
        assert_eq!(
            refused(&options),
            [
                "`--vus`: expected a whole number from 1 to 4294967295, found `many`\nhint: such as `50`",
                "`--duration`: expected a duration with its unit, found `30`\nhint: did you mean `30s`?",
                "`--recorder`: expected `json`, `locust`, `none` or the path of a component, found `jsn`\nhint: did you mean `json`?",
                "variable `SQUALL_BASE_URL`: expected an absolute `http` or `https` URL, found `localhost:8080`\nhint: did you mean `http://localhost:8080`?",
                "`--allow-host`: expected the name or address of a host, found `https://Shop.example:443/`\nhint: without scheme, port and path: `shop.example`",
                "`--threshold`: expected the name of a metric, such as `http_req_duration` at character 1, found `http_req_durations: p(95) < 500`\nhint: such as `http_req_duration: p(95) < 500` or `http_req_failed: rate < 0.01`",
                "the script's option `tag`: expected `NAME=VALUE`, found `team`\nhint: such as `stage=test`",
                "variable `SQUALL_VU_MEMORY`: expected a size from `64KiB` to `4GiB`, found `1KiB`\nhint: such as `64MiB`",
                "`--log`: expected `off`, `error`, `warn`, `info`, `debug` or `trace`, found `warning`\nhint: did you mean `warn`?",
            ]
        );
    }

    #[test]
    fn constant_vus_needs_a_duration_and_no_iterations() {
        let mistakes = refused(&flags(&[
            (Key::Executor, "constant-vus"),
            (Key::Iterations, "5"),
        ]));
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("`--iterations`"), "{mistakes:?}");
        assert!(mistakes[1].starts_with("`--executor`"), "{mistakes:?}");
        let mistakes = refused(&flags(&[
            (Key::Executor, "constant-vus"),
            (Key::Duration, "5"),
        ]));
        assert_eq!(mistakes.len(), 1, "a wrong duration is given: {mistakes:?}");
    }

    #[test]
    fn events_have_a_file_of_their_own() {
        let settings = resolved(&[(Key::Events, "e"), (Key::Telemetry, "t")]).settings;
        assert_eq!(settings.events.as_deref(), Some("e".as_ref()));
        for clash in [
            flags(&[(Key::Events, "-")]),
            flags(&[(Key::Events, "t"), (Key::Telemetry, "t")]),
            flags(&[(Key::Events, "t"), (Key::Recorder, "json,sink=file:t")]),
        ] {
            let mistakes = refused(&clash);
            assert!(mistakes[0].starts_with("`--events`: "), "{mistakes:?}");
            assert_eq!(mistakes.len(), 1);
        }
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let plan = resolved(&[(Key::Env, "A=1"), (Key::Env, "B=x=y"), (Key::Env, "A=2")]).plan;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(plan.scenarios[0].env, [pair("A", "2"), pair("B", "x=y")]);
    }

    #[test]
    fn a_base_url_out_of_reach_is_told() {
        let hosts = [
            (Key::BaseUrl, "http://[::1]:80/"),
            (Key::AllowHost, "::1"),
            (Key::AllowHost, "B.example"),
        ];
        let reachable = resolved(&hosts);
        assert!(reachable.warnings.is_empty(), "{:?}", reachable.warnings);
        assert_eq!(
            reachable.plan.http.allow_hosts,
            Some(vec!["[::1]".to_owned(), "b.example".to_owned()])
        );
        let other = resolved(&[(Key::BaseUrl, "http://a.example"), (Key::AllowHost, "b")]);
        assert!(other.warnings[0].contains("`a.example`"));
    }

    #[test]
    fn a_cache_can_be_turned_off() {
        assert_eq!(
            resolved(&[(Key::CacheDir, "none")]).settings.cache_dir,
            None
        );
    }
}
