//! From merged options to a plan: every text parsed, every rule checked, every
//! mistake collected.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::data::data;
use super::options::{Given, Key, Options, Place};
use super::recorders::{doubts, recorders};
use super::said::{Said, make_room, scenarios};
use super::shape::shape;
use super::values::{self, Parsed, Wrong};
use crate::error::{Error, Problem};
use crate::measure::Tag;
use crate::plan::{
    GROUP_BY_SCENARIO, HttpPlan, Limits, Plan, RecorderSpec, ScriptSource, SinkSpec, Threshold,
};
use crate::stats::groups::GROUPS;
use crate::stats::tracking::{self, Tracking};

/// What resolving needs to know of the machine and the process.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether a terminal's keys can steer the run.
    pub has_keys: bool,
    /// How many cores the process may use.
    pub cores: usize,
    /// How many VUs the machine's limits leave room for.
    pub vus_room: u32,
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
    /// Where the control API listens, if it does.
    pub control: Option<SocketAddr>,
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
    resolve_all(&Said::of(script, options.clone()), around)
}

/// Resolves what was said about a run.
///
/// # Errors
///
/// [`Error::Config`] with every mistake there is.
pub fn resolve_all(said: &Said, around: &Surroundings) -> Result<Resolved, Error> {
    let options = said.of_the_run();
    let drafts = said.of_scenarios();
    let mut read = Reader::new(&options);
    let mut warnings = Vec::new();

    let mut scenarios = scenarios(&drafts, &mut read, around);
    let shape = match &drafts[..] {
        [only] => {
            let mut own = Reader::new(&only.options);
            let shape = shape(&mut own);
            read.take_in(own);
            shape
        }
        several => {
            if read.given(Key::Shape) {
                let count = several.len();
                read.clash(
                    Key::Shape,
                    &format!("a shape has one scenario, and there are {count}"),
                    "leave it out, or run one of them",
                );
            }
            None
        }
    };
    let quiet = read.switch(Key::Quiet);
    let control = control(&mut read);
    let is_steered = shape.is_none() && (control.is_some() || (around.has_keys && !quiet));
    if is_steered && read.mistakes.is_empty() {
        make_room(&mut scenarios, &drafts, around);
    }
    let telemetry = telemetry(&mut read, around);
    let summary = read.one(Key::Summary, values::path);
    let scripts: Vec<_> = drafts
        .into_iter()
        .filter_map(|draft| draft.script)
        .collect();
    let (telemetry, recorders) = recorders(&mut read, telemetry, summary.as_deref(), &scripts);
    warnings.extend(doubts(&recorders));
    for scenario in &scenarios {
        if let Some(host) = unreachable_host(&scenario.http) {
            let warning = format!(
                "`--allow-host` does not name `{host}`, the host of `--base-url`: relative URLs will fail"
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    let data = data(
        &mut read,
        &outputs(&options, &telemetry, summary.as_deref(), &recorders),
    );
    let plan = Plan {
        test_plan: read
            .one(Key::TestPlan, |text| Ok(text.to_owned()))
            .or_else(|| said.file.name.clone())
            .or_else(|| scripts.first().map(default_name))
            .unwrap_or_default(),
        thresholds: thresholds(&mut read),
        shape,
        group_by: group_by(&mut read, scenarios.len()),
        tags: last_of_each(read.each(Key::Tag, values::tag), |tag: &Tag| &tag.0),
        seed: read
            .one(Key::Seed, values::seed)
            .unwrap_or_else(random_seed),
        data,
        limits: Limits {
            vu_memory: read
                .one(Key::VuMemory, values::vu_memory)
                .unwrap_or(64 << 20),
            iteration_timeout: read
                .one(Key::IterationTimeout, values::duration_above_zero)
                .unwrap_or(Duration::from_secs(5)),
            setup_timeout: read
                .one(Key::SetupTimeout, values::duration_above_zero)
                .unwrap_or(Duration::from_secs(60)),
            teardown_timeout: read
                .one(Key::TeardownTimeout, values::duration_above_zero)
                .unwrap_or(Duration::from_secs(60)),
            on_start_timeout: read
                .one(Key::OnStartTimeout, values::duration_above_zero)
                .unwrap_or(Duration::from_secs(60)),
            on_stop_timeout: read
                .one(Key::OnStopTimeout, values::duration_above_zero)
                .unwrap_or(Duration::from_secs(60)),
            names: read.one(Key::Names, values::names).unwrap_or(1000),
            log_messages: read.one(Key::LogMessages, values::count).unwrap_or(1000),
        },
        stats_interval: read
            .one(Key::StatsInterval, values::interval)
            .unwrap_or(Duration::from_secs(2)),
        system_interval: read
            .one(Key::SystemInterval, values::interval)
            .unwrap_or(Duration::from_secs(2)),
        recorders,
        scenarios,
    };
    let settings = Settings {
        events: events(&mut read, &telemetry, &plan.recorders),
        telemetry,
        summary,
        quiet,
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
        control,
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

/// How a scenario's requests are sent.
pub(super) fn http(read: &mut Reader<'_>) -> HttpPlan {
    HttpPlan {
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
    }
}

/// Parses options and collects what is wrong with them. What is wrong counts as
/// absent, so that reading goes on.
pub(super) struct Reader<'a> {
    pub(super) options: &'a Options,
    mistakes: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Reads what was said, and takes over what is wrong with it.
    pub(super) fn new(options: &'a Options) -> Self {
        Self {
            options,
            mistakes: options.mistakes().to_vec(),
        }
    }

    /// Takes over what another reader found wrong. What two of them read is
    /// told once.
    pub(super) fn take_in(&mut self, other: Reader<'_>) {
        for mistake in other.mistakes {
            self.mistake(mistake);
        }
    }

    /// Notes a mistake, unless it is known.
    pub(super) fn mistake(&mut self, mistake: Problem) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    pub(super) fn given(&self, key: Key) -> bool {
        !self.options.all(key).is_empty()
    }

    /// Whether nobody but the program itself said something about an option.
    pub(super) fn is_default(&self, key: Key) -> bool {
        let given = self.options.get(key);
        given.is_some_and(|given| given.place == Place::Default)
    }

    /// Whether it was the user who said something about an option.
    pub(super) fn said_by_user(&self, key: Key) -> bool {
        let given = self.options.get(key);
        given.is_some_and(|given| !matches!(given.place, Place::Script | Place::Default))
    }

    pub(super) fn one<T>(&mut self, key: Key, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let given = self.options.get(key)?.clone();
        self.parse(key, &given, parse)
    }

    pub(super) fn each<T>(&mut self, key: Key, parse: impl Fn(&str) -> Parsed<T>) -> Vec<T> {
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
        let place = given.place_of(key);
        let what = match wrong.at {
            None => format!(
                "{place}: expected {}, found `{}`",
                wrong.expected, given.text
            ),
            Some(at) => format!(
                "{place}: expected {}\n  {}\n  {}^",
                wrong.expected,
                one_line(&given.text),
                " ".repeat(at)
            ),
        };
        self.mistake(Problem {
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
        self.mistake(Problem::new(format!("{place}: {what}")).hint(hint));
    }
}

/// What the run is judged by.
fn thresholds(read: &mut Reader<'_>) -> Vec<Threshold> {
    let mut thresholds = Vec::new();
    for given in read.options.all(Key::Threshold).to_vec() {
        match values::thresholds(&given.text) {
            Ok(several) => thresholds.extend(several),
            Err(mistakes) => {
                for wrong in mistakes {
                    read.wrong(Key::Threshold, &given, wrong);
                }
            }
        }
    }
    let tags = Tracking::new(&thresholds).tags();
    if tags > tracking::TAGS {
        read.clash(
            Key::Threshold,
            &format!(
                "the filters ask for {tags} values of tags, and a run can tell {} apart",
                tracking::TAGS
            ),
            "name fewer scenarios, groups and tags of your own in filters",
        );
    }
    thresholds
}

/// What results are split by: by scenario in any case, if there are several.
fn group_by(read: &mut Reader<'_>, scenarios: usize) -> Vec<String> {
    let mut tags = Vec::new();
    if scenarios > 1 {
        tags.push(GROUP_BY_SCENARIO.to_owned());
    }
    for tag in read.each(Key::GroupBy, values::group_by) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let own = tags.iter().filter(|tag| *tag != GROUP_BY_SCENARIO).count();
    if own > GROUPS {
        read.clash(
            Key::GroupBy,
            &format!(
                "{own} tags, and a run can be grouped by {GROUPS} beside `{GROUP_BY_SCENARIO}`"
            ),
            "leave out those that you can do without",
        );
    }
    tags
}

/// A text in which every character takes one place on one line.
fn one_line(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect()
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

/// Where the control API listens: to this machine, unless the user consents to
/// more.
fn control(read: &mut Reader<'_>) -> Option<SocketAddr> {
    let remote = read.switch(Key::ControlRemote);
    let address = read.one(Key::Control, values::control)?;
    if !address.ip().is_loopback() && !remote {
        read.clash(
            Key::Control,
            "other machines could steer the run there, and read its token on the way",
            "listen at `127.0.0.1:0`, or add `--control-remote` if the network is yours",
        );
    }
    Some(address)
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

/// The files that a run makes anew, each with the option that names it.
fn outputs(
    options: &Options,
    telemetry: &Telemetry,
    summary: Option<&Path>,
    recorders: &[RecorderSpec],
) -> Vec<(Key, PathBuf)> {
    let telemetry = match telemetry {
        Telemetry::File(path) => Some((Key::Telemetry, path.clone())),
        Telemetry::Stdout | Telemetry::Nowhere => None,
    };
    let summary = summary.map(|path| (Key::Summary, path.to_owned()));
    let events = options.get(Key::Events);
    let events = events.map(|given| (Key::Events, PathBuf::from(&given.text)));
    let recorders = recorders
        .iter()
        .filter_map(|recorder| match &recorder.sink {
            Some(SinkSpec::File(file)) => Some((Key::Recorder, file.path.clone())),
            _ => None,
        });
    let first = telemetry.into_iter().chain(summary).chain(events);
    first.chain(recorders).collect()
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
pub(super) fn last_of_each<T>(all: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
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
    use std::num::NonZeroU32;

    use super::*;
    use crate::plan::Executor;

    fn around() -> Surroundings {
        Surroundings {
            stdout_is_terminal: false,
            has_keys: false,
            cores: 4,
            vus_room: 9_000,
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
                "variable `SQUALL_BASE_URL`: expected an absolute `http` or `https` URL, found `localhost:8080`\nhint: did you mean `http://localhost:8080`?",
                "`--allow-host`: expected the name or address of a host, found `https://Shop.example:443/`\nhint: without scheme, port and path: `shop.example`",
                "the script's option `tag`: expected `NAME=VALUE`, found `team`\nhint: such as `stage=test`",
                "`--recorder`: expected `json`, `locust`, `none` or the path of a component, found `jsn`\nhint: did you mean `json`?",
                "`--threshold`: expected the name of a metric\n  http_req_durations: p(95) < 500\n  ^\nhint: did you mean `http_req_duration`? A metric of the script's own that is named so goes in double quotes",
                "variable `SQUALL_VU_MEMORY`: expected a size from `64KiB` to `4GiB`, found `1KiB`\nhint: such as `64MiB`",
                "`--log`: expected `off`, `error`, `warn`, `info`, `debug` or `trace`, found `warning`\nhint: did you mean `warn`?",
            ]
        );
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
            reachable.plan.scenarios[0].http.allow_hosts,
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
