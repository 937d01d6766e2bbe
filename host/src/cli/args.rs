//! The arguments: declarations and help texts, and nothing that decides.
//!
//! clap splits the command line and answers unknown flags. Values stay texts:
//! `config` parses them, so that all mistakes are told at once. Each flag's
//! variable and default come from the one table in `config::options`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Key, Options, Place};

/// Load testing with WebAssembly scripts and recorders.
#[derive(Debug, Parser)]
#[command(
    name = "squall",
    version,
    styles = STYLES,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Start here:
  squall demo                                        see it work, nothing to write
  squall run shop.wasm --vus 50 --duration 1m        run a script of yours
  squall run --help                                  every flag, with examples
  squall recorder test mine.wasm                     see a recorder of yours at work

Exit codes:
  0 passed         2 wrong usage             99 a threshold failed
  1 a defect     104 wrong configuration    105 interrupted
               107 the script failed      108 aborted by the script
               110 the result is incomplete"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a script against a server.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall run shop.wasm --base-url http://127.0.0.1:8080
      one VU, one iteration: does the script work at all?
  squall run shop.wasm --vus 50 --duration 1m
      50 VUs for a minute
  squall run shop.wasm --vus 10 --iterations 1000 --threshold 'http_req_failed: rate < 0.01'
      exactly 1,000 iterations; exit code 99 if one request of a hundred fails
  squall run shop.wasm --duration 1m --summary summary.json > telemetry.ndjson
      the result as JSON, and what happened as JSON lines

A flag wins over its variable, a variable over the script's own options."
    )]
    Run(Box<RunArgs>),
    /// Show squall at work: a small server, a script and a recorder, all built in.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall demo
      10 VUs for 10 seconds
  squall demo --vus 50 --duration 30s --threshold 'http_req_duration: p(95) < 100'
      more of it, judged by a threshold
  squall demo > events.ndjson
      keeps its telemetry: JSON lines on stdout"
    )]
    Demo(Box<DemoArgs>),
    /// Tell what a component is: script or recorder, its imports and exports.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall inspect shop.wasm
      what it is, and whether squall can run it
  squall inspect shop.wasm --vus 50 --duration 1m
      and the plan that `squall run` would follow"
    )]
    Inspect(Box<InspectArgs>),
    /// Test a recorder of yours.
    #[command(subcommand, arg_required_else_help = true)]
    Recorder(RecorderVerb),
    /// Print the completions for a shell.
    #[command(after_help = "\
Examples:
  squall completions bash > ~/.local/share/bash-completion/completions/squall
  squall completions fish > ~/.config/fish/completions/squall.fish")]
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// What to do with a recorder.
#[derive(Debug, Subcommand)]
pub(super) enum RecorderVerb {
    /// Feed recorded runs to a recorder: do its log entries stand up to a log pipeline?
    ///
    /// Its log entries go to stdout, one line each. On stderr: what each run came to in
    /// events, calls, entries, memory and time, and everything that is wrong with the
    /// entries, each with its run, event and key.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall recorder test ./mine.wasm
      the four recorded runs of squall: normal, failing, distributed, empty
  squall recorder test ./mine.wasm,level=2 > entries.ndjson
      with an option of the recorder's; keeps the log entries
  squall run shop.wasm --vus 5 --iterations 100 --events run.ndjson
  squall recorder test ./mine.wasm --events run.ndjson
      a run of your own

Exit codes:
  0 every log entry would arrive      99 some would be lost
  2 wrong usage                      104 the recorder cannot be loaded or started"
    )]
    Test(TestArgs),
}

/// The arguments of `recorder test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The recorder: the path of a component, or the name of one that is built in. Its
    /// options follow it.
    #[arg(value_name = "RECORDER[,KEY=VALUE…]")]
    pub(super) recorder: String,
    /// A recorded run to feed in place of those of squall. Repeatable.
    ///
    /// Example: --events run.ndjson --events other.ndjson
    #[arg(long, value_name = "FILE")]
    pub(super) events: Vec<PathBuf>,
}

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The script: a WebAssembly component.
    pub(super) script: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl RunArgs {
    /// What the flags say.
    pub(super) fn options(self) -> Options {
        let mut options = self.common.options();
        self.target.say(&mut options);
        options
    }
}

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    common: CommonArgs,
}

impl DemoArgs {
    /// What the flags say.
    pub(super) fn options(self) -> Options {
        self.common.options()
    }
}

/// The arguments of `inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component.
    pub(super) component: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl InspectArgs {
    /// What the flags say.
    pub(super) fn options(self) -> Options {
        let mut options = self.common.options();
        self.target.say(&mut options);
        options
    }
}

/// Where requests may go. `demo` has a server of its own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
struct TargetArgs {
    /// What the script's relative URLs are resolved against.
    ///
    /// Example: --base-url https://shop.example/v2/
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A host that the script may reach; given at all, it can reach no other.
    /// Repeatable.
    ///
    /// Example: --allow-host shop.example --allow-host 127.0.0.1
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Accept any TLS certificate.
    ///
    /// For test servers with certificates of their own. Whoever sits in between can read
    /// and change everything.
    #[arg(long)]
    insecure: bool,
}

impl TargetArgs {
    fn say(self, options: &mut Options) {
        let Self {
            base_url,
            allow_host,
            insecure,
        } = self;
        say(options, Key::BaseUrl, base_url);
        say(options, Key::AllowHost, allow_host);
        say(options, Key::Insecure, insecure.then(|| "true".to_owned()));
    }
}

/// What every run has.
#[derive(Debug, Args)]
struct CommonArgs {
    /// How many virtual users (VUs) play the script at once.
    ///
    /// Example: --vus 50
    #[arg(long, value_name = "N", help_heading = "Load")]
    vus: Option<String>,
    /// For how long iterations start.
    ///
    /// With --iterations it is the longest that they may take together, 10m if it is left out.
    ///
    /// Example: --duration 1m30s
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    duration: Option<String>,
    /// How many iterations all VUs do together.
    ///
    /// Example: --iterations 1000
    #[arg(long, value_name = "N", help_heading = "Load")]
    iterations: Option<String>,
    /// How iterations are started: constant-vus or shared-iterations.
    ///
    /// It follows from the other flags: --iterations makes shared-iterations, --duration alone
    /// constant-vus.
    ///
    /// Example: --executor constant-vus
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    executor: Option<String>,
    /// How long iterations under way may go on when the run ends.
    ///
    /// Those that are not done by then are cut short and counted as interrupted.
    ///
    /// Example: --graceful-stop 5s
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    graceful_stop: Option<String>,
    /// What everything random follows from, in squall and in the script.
    ///
    /// Example: --seed 42
    #[arg(long, value_name = "N", help_heading = "Load")]
    seed: Option<String>,

    /// A variable of the script's environment; nothing else of yours reaches it. Repeatable.
    ///
    /// Example: --env LOGIN=alice --env LANG=de
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Script")]
    env: Vec<String>,
    /// How long a request may take, unless the script says otherwise.
    ///
    /// Example: --http-timeout 10s
    #[arg(long, value_name = "TIME", help_heading = "Script")]
    http_timeout: Option<String>,
    /// How much memory one VU may use.
    ///
    /// An iteration that asks for more fails, and the VU goes on afresh.
    ///
    /// Example: --vu-memory 16MiB
    #[arg(long, value_name = "SIZE", help_heading = "Script")]
    vu_memory: Option<String>,
    /// How long one call into the script may compute; waiting does not count.
    ///
    /// A call that takes longer fails its iteration, and the VU goes on afresh.
    ///
    /// Example: --iteration-timeout 500ms
    #[arg(long, value_name = "TIME", help_heading = "Script")]
    iteration_timeout: Option<String>,
    /// How many messages of scripts a run logs; more are counted.
    ///
    /// As many failures of scripts are logged one by one; the summary and the
    /// statistics count them all.
    ///
    /// Example: --log-messages 100
    #[arg(long, value_name = "N", help_heading = "Script")]
    log_messages: Option<String>,

    /// What the result is judged by; exit code 99 if it does not hold. Repeatable.
    ///
    /// METRIC: AGGREGATE OPERATOR NUMBER. Times are in milliseconds, shares from 0 to 1.
    ///
    /// Times: http_req_duration, http_req_connecting, http_req_tls_handshaking,
    /// http_req_waiting, http_req_receiving, iteration_duration, iteration_lag; each has
    /// p(N), min, max, avg, med, count.
    ///
    /// Counters: http_reqs, iterations, dropped_iterations, data_sent, data_received; each has
    /// count, and rate a second.
    ///
    /// Shares: http_req_failed, checks; each has rate.
    ///
    /// Example: --threshold 'http_req_duration: p(95) < 500' --threshold 'checks: rate > 0.99'
    #[arg(long, value_name = "RULE", help_heading = "Result")]
    threshold: Vec<String>,
    /// Where to write the summary as JSON.
    ///
    /// Example: --summary summary.json
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    summary: Option<String>,
    /// The name of the test plan, in the summary and in all telemetry.
    ///
    /// Example: --test-plan nightly
    #[arg(long, value_name = "NAME", help_heading = "Result")]
    test_plan: Option<String>,
    /// A tag on everything that is reported. Repeatable.
    ///
    /// Example: --tag stage=test --tag team=checkout
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Result")]
    tag: Vec<String>,
    /// How many distinct names of a kind get a row of their own; more share the row (other).
    ///
    /// Example: --names 5000
    #[arg(long, value_name = "N", help_heading = "Result")]
    names: Option<String>,

    /// Who writes log entries: json, locust, none or the path of a component. Repeatable.
    ///
    /// Options for the recorder follow its name. These are squall's own: sink=stdout, stderr,
    /// file:PATH, tcp:HOST:PORT or unix:PATH is where its log entries go; rotate-size=SIZE,
    /// rotate-every=TIME and keep=N rotate a file; interval=TIME is how often it gets statistics.
    /// The lines of locust are those of locust-telemetry, for the dashboards that read them.
    ///
    /// Example: --recorder json --recorder ./mine.wasm,level=2,sink=tcp:127.0.0.1:9000
    ///
    /// Example: --recorder json,sink=file:out.ndjson,rotate-size=64MiB,rotate-every=1h,keep=5
    #[arg(long, value_name = "NAME[,KEY=VALUE…]", help_heading = "Telemetry")]
    recorder: Vec<String>,
    /// Where log entries go that have no sink of their own, one line each: a file, or - for stdout.
    ///
    /// Example: --telemetry telemetry.ndjson
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    telemetry: Option<String>,
    /// Where to record every event of the run, to test recorders with.
    ///
    /// `squall recorder test` feeds such a file to a recorder again and again. Recording takes
    /// time for every request, as a recorder that asks for everything does.
    ///
    /// Example: --events run.ndjson
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    events: Option<String>,
    /// How often statistics are reported to recorders.
    ///
    /// Example: --stats-interval 10s
    #[arg(long, value_name = "TIME", help_heading = "Telemetry")]
    stats_interval: Option<String>,
    /// How often the use of this machine is looked at and reported to recorders.
    ///
    /// Example: --system-interval 10s
    #[arg(long, value_name = "TIME", help_heading = "Telemetry")]
    system_interval: Option<String>,

    /// Print neither progress nor summary, only why a run did not pass.
    #[arg(long, help_heading = "This program")]
    quiet: bool,
    /// Which of squall's own diagnostics to print: off, error, warn, info, debug or trace.
    ///
    /// Example: --log info, or for one part of the program --log squall::http=debug
    #[arg(long, value_name = "LEVEL", help_heading = "This program")]
    log: Option<String>,
    /// How many threads play VUs.
    ///
    /// Example: --threads 2
    #[arg(long, value_name = "N", help_heading = "This program")]
    threads: Option<String>,
    /// Where compiled components are kept for the next run; none keeps none.
    ///
    /// Example: --cache-dir /var/cache/squall
    #[arg(long, value_name = "DIR", help_heading = "This program")]
    cache_dir: Option<String>,
}

impl CommonArgs {
    fn options(self) -> Options {
        let Self {
            vus,
            duration,
            iterations,
            executor,
            graceful_stop,
            seed,
            env,
            http_timeout,
            vu_memory,
            iteration_timeout,
            log_messages,
            threshold,
            summary,
            test_plan,
            tag,
            names,
            recorder,
            telemetry,
            events,
            stats_interval,
            system_interval,
            quiet,
            log,
            threads,
            cache_dir,
        } = self;
        let mut options = Options::default();
        for (key, text) in [
            (Key::Vus, vus),
            (Key::Duration, duration),
            (Key::Iterations, iterations),
            (Key::Executor, executor),
            (Key::GracefulStop, graceful_stop),
            (Key::Seed, seed),
            (Key::HttpTimeout, http_timeout),
            (Key::VuMemory, vu_memory),
            (Key::IterationTimeout, iteration_timeout),
            (Key::LogMessages, log_messages),
            (Key::Summary, summary),
            (Key::TestPlan, test_plan),
            (Key::Names, names),
            (Key::Telemetry, telemetry),
            (Key::Events, events),
            (Key::StatsInterval, stats_interval),
            (Key::SystemInterval, system_interval),
            (Key::Quiet, quiet.then(|| "true".to_owned())),
            (Key::Log, log),
            (Key::Threads, threads),
            (Key::CacheDir, cache_dir),
        ] {
            say(&mut options, key, text);
        }
        for (key, texts) in [
            (Key::Env, env),
            (Key::Threshold, threshold),
            (Key::Tag, tag),
            (Key::Recorder, recorder),
        ] {
            say(&mut options, key, texts);
        }
        options
    }
}

fn say(options: &mut Options, key: Key, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        // A list of hosts may be one value, as it is in the variable.
        if key == Key::AllowHost {
            let hosts = text.split(',').map(str::trim);
            hosts.for_each(|host| options.say(key, host, Place::Flag));
        } else {
            options.say(key, text, Place::Flag);
        }
    }
}

/// What ends the program before any verb: help, the version, or a mistake in
/// the usage.
pub(super) struct Ended(clap::Error);

impl Ended {
    /// Prints it to the stream it belongs to, and returns the exit code.
    pub(super) fn print(&self) -> u8 {
        // A reader that has gone away is no reason to complain.
        let _ = self.0.print();
        u8::try_from(self.0.exit_code()).unwrap_or(2)
    }
}

/// Reads a command line, its first word the program's name.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Verb, Ended> {
    command()
        .try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map(|cli| cli.verb)
        .map_err(|error| Ended(with_suggestion(error)))
}

/// Suggests the flag that is a slip away. clap by itself sees no likeness
/// between short words such as `--vsu` and `--vus`.
fn with_suggestion(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument || error.get(ContextKind::SuggestedArg).is_some()
    {
        return error;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let given = given.trim_start_matches('-');
    let near = Key::all()
        .map(|key| (strsim::damerau_levenshtein(given, key.flag()), key.flag()))
        .filter(|(slips, flag)| *slips <= flag.len() / 3)
        .min();
    if let Some((_, flag)) = near {
        let suggested = ContextValue::String(format!("--{flag}"));
        error.insert(ContextKind::SuggestedArg, suggested);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(Vec::new()));
    }
    error
}

/// The completions for a shell.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "squall", &mut script);
    script
}

/// The whole command, each flag with its default and its variable.
fn command() -> Command {
    let verbs = ["run", "demo", "inspect"];
    verbs.into_iter().fold(Cli::command(), |command, verb| {
        command.mut_subcommand(verb, |verb| verb.mut_args(annotate))
    })
}

fn annotate(arg: clap::Arg) -> clap::Arg {
    let Some(key) = Key::all().find(|key| Some(key.flag()) == arg.get_long()) else {
        return arg;
    };
    let mut notes = String::new();
    if let Some(default) = key.default() {
        notes += &format!(" [default: {default}]");
    }
    if let Some(variable) = key.variable() {
        notes += &format!(" [env: {variable}]");
    }
    let long = arg
        .get_long_help()
        .map(|help| format!("{help}\n\n{}", notes.trim_start()));
    let short = arg.get_help().map(|help| format!("{help}{notes}"));
    let arg = match short {
        Some(short) => arg.help(short),
        None => arg,
    };
    match long {
        Some(long) => arg.long_help(long),
        None => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Verb, Ended> {
        parse(words.iter().map(OsString::from))
    }

    fn options(words: &[&str]) -> Options {
        match read(words) {
            Ok(Verb::Run(args)) => args.options(),
            _ => panic!("{words:?} is a run"),
        }
    }

    #[test]
    fn the_declarations_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_option_has_its_flag_and_help() {
        let command = command();
        let run = command.find_subcommand("run").expect("a verb");
        for key in Key::all() {
            let arg = run
                .get_arguments()
                .find(|arg| arg.get_long() == Some(key.flag()));
            let help = arg.and_then(clap::Arg::get_help).map(ToString::to_string);
            let help = help.unwrap_or_else(|| panic!("no help for {key:?}"));
            assert!(help.contains(key.variable().unwrap_or("")), "{help}");
            let long = arg
                .and_then(clap::Arg::get_long_help)
                .map(ToString::to_string);
            if !matches!(key, Key::Quiet | Key::Insecure) {
                let long = long.unwrap_or_default();
                assert!(long.contains("Example: --"), "{key:?}: {long}");
            }
        }
    }

    #[test]
    fn values_are_kept_as_they_are_written() {
        let options = options(&[
            "squall",
            "run",
            "a.wasm",
            "--vus",
            "many",
            "--tag",
            "a=b,c",
            "--tag",
            "d=e",
            "--allow-host",
            "x, y",
            "--quiet",
            "--telemetry",
            "-",
        ]);
        let texts = |key| -> Vec<_> {
            options
                .all(key)
                .iter()
                .map(|given| given.text.clone())
                .collect()
        };
        assert_eq!(texts(Key::Vus), ["many"]);
        assert_eq!(texts(Key::Tag), ["a=b,c", "d=e"]);
        assert_eq!(texts(Key::AllowHost), ["x", "y"]);
        assert_eq!(texts(Key::Quiet), ["true"]);
        assert_eq!(texts(Key::Telemetry), ["-"]);
        assert!(options.get(Key::Seed).is_none());
    }

    #[test]
    fn a_misspelt_flag_is_answered_with_the_right_one() {
        let Err(Ended(error)) = read(&["squall", "run", "a.wasm", "--vsu", "5"]) else {
            panic!("there is no --vsu");
        };
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--vus"), "{error}");
    }

    #[test]
    fn the_demo_has_no_other_target() {
        let Err(Ended(error)) = read(&["squall", "demo", "--base-url", "http://a.example"]) else {
            panic!("the demo runs against its own server");
        };
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn every_shell_gets_completions() {
        for shell in [
            Shell::Bash,
            Shell::Fish,
            Shell::Zsh,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let script = String::from_utf8(completions(shell)).expect("UTF-8");
            assert!(script.contains("iteration-timeout"), "{shell}");
        }
    }
}
