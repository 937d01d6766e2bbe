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
use clap::{
    Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};
use clap_complete::Shell;

use super::new::Language;
use crate::config::{Key, Options, Place};

/// Load testing with WebAssembly scripts, recorders and shapes.
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
  squall new shop --lang python                      a script of yours to start from
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
  squall run shop.wasm --rate 50/s --duration 1m
      50 iterations a second, whatever the server does
  squall run shop.wasm --stage 30s:50 --stage 2m:50 --stage 10s:0
      up to 50 VUs in 30 seconds, two minutes of them, and down
  squall run shop.wasm --vus 10 --iterations 1000 --threshold 'http_req_failed: rate < 0.01'
      exactly 1,000 iterations; exit code 99 if one request of a hundred fails
  squall run shop.wasm --duration 1m --summary summary.json > telemetry.ndjson
      the result as JSON, and what happened as JSON lines
  squall run shop.wasm --shape goal_seek.wasm,p99=500ms,errors=1%
      the highest rate at which that holds

  squall run --config load.toml --vus 10
      the scenarios in a file, but with 10 VUs

A flag wins over its variable, a variable over the file, the file over the script's own options."
    )]
    Run(Box<RunArgs>),
    /// Run a script on many machines: the one that steers, and shows the result.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall run shop.wasm --vus 1000 --duration 5m --workers 4
      four workers on this machine; nothing to set up
  squall master shop.wasm --vus 1000 --duration 5m --workers 4 --nats nats://broker:4222
      four workers on other machines, each started with:
      squall worker --nats nats://broker:4222
  squall master shop.wasm --rate 5000/s --duration 1h --workers 20 --nats tls://broker:4222 \\
      --nats-nkey master.nk --on-worker-loss rebalance
      the others take over what a lost worker leaves

Load, thresholds and recorders are those of `squall run`: the figures are those of all
workers together. Exit codes are the same, and 110 if a worker was lost for good."
    )]
    Master(Box<MasterArgs>),
    /// Make load for a master: wait for it, and play what it gives.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall worker --nats nats://broker:4222
      waits for a master, plays its part, and waits for the next one
  squall worker --nats tls://broker:4222 --nats-nkey worker.nk --allow-host shop.example
      with a key of its own, and no load against anything else
  squall worker --nats nats://broker:4222 --recorder json --telemetry worker.ndjson
      with telemetry of this node's own
  squall worker --locust-master locust:5557 shop.wasm
      a worker of a Locust master, as it is; it needs the locustfile of `squall locust-stub`"
    )]
    Worker(Box<WorkerArgs>),
    /// Write the locustfile that a Locust master needs for workers of squall's.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall locust-stub shop.wasm > locustfile.py
      a user class for the script, which the master hands to workers that have none
  squall locust-stub --config load.toml --embed-script > locustfile.py
      one for each scenario, with its weight; scripts and data are in it
  locust -f locustfile.py --master
  squall worker --locust-master 127.0.0.1:5557
      the master, and as many workers as it takes

What the file's `env` says is in the locustfile, too."
    )]
    LocustStub(Box<LocustStubArgs>),
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
    /// Tell what a component is: script, recorder or shape, its imports and exports.
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
    /// Look at a run that is going on, or steer it.
    #[command(
        max_term_width = 100,
        arg_required_else_help = true,
        after_help = "\
Examples:
  squall run shop.wasm --vus 10 --duration 10m --control 127.0.0.1:0
      a run that listens; in another terminal:
  squall ctl status
      how it stands, if it is the only one
  squall ctl vus +5
      five more VUs
  squall ctl rate 100/s --scenario buy
      100 iterations a second, of one scenario
  squall ctl stop --at 127.0.0.1:6789
      ends the run at that address

The token of a run of yours on this machine is found by itself; that of another one is
taken from the variable SQUALL_CONTROL_TOKEN. Another target holds to the end of its
scenario, and every change is in the run's telemetry and summary.

Exit codes:
  0 done, or it was so already      2 wrong usage
  104 no such run, or it refuses: what it cannot do, or a wrong token"
    )]
    Ctl(CtlArgs),
    /// Start a project of your own: a script or a recorder that builds as it is.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall new shop-load --lang python
      a script in the new folder `shop-load`, called so
  squall new to-pager --lang rust --recorder
      a recorder

The project is one of squall's own examples, with the WIT it needs and a README that has
the commands to build and to run it."
    )]
    New(NewArgs),
    /// Test a recorder of yours.
    #[command(subcommand, arg_required_else_help = true)]
    Recorder(RecorderVerb),
    /// Write what a guest in C or Go needs to call squall.
    ///
    /// Other languages have generators among their own tools.
    #[command(
        max_term_width = 100,
        after_help = "\
Examples:
  squall bindings c wit/script --world script --out bindings
      bindings/squall.h, its source, and an object file that makes a component of a program
  squall bindings go wit/recorder --world recorder --out bindings
      the Go module `squall`

Both come with wasi_snapshot_preview1.wasm, for `wasm-tools component new --adapt`."
    )]
    Bindings(BindingsArgs),
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

/// The arguments of `new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The folder to write to, which is made if it is not there. Its name is the project's.
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// The language to write in.
    #[arg(long, value_name = "rust|js|ts|python|c|go", value_enum)]
    pub(super) lang: Language,
    /// A recorder in place of a script.
    #[arg(long)]
    pub(super) recorder: bool,
}

/// The arguments of `bindings`.
#[derive(Debug, Args)]
pub(super) struct BindingsArgs {
    /// For which language.
    pub(super) language: BindingsLanguage,
    /// The folder of the WIT package.
    #[arg(value_name = "WIT")]
    pub(super) wit: PathBuf,
    /// The world in it that the guest is for.
    #[arg(long, value_name = "NAME")]
    pub(super) world: String,
    /// The folder to write to.
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: PathBuf,
}

/// A language that bindings can be had for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum BindingsLanguage {
    C,
    Go,
}

/// The arguments of `ctl`.
#[derive(Debug, Args)]
pub(super) struct CtlArgs {
    #[command(subcommand)]
    pub(super) verb: CtlVerb,
    /// Where the run listens; not needed if it is the only one of yours on this machine.
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub(super) at: Option<String>,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// Which of a run's scenarios is meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Which of the run's scenarios; not needed if it has one, or all are meant.
    #[arg(long, value_name = "NAME")]
    pub(super) scenario: Option<String>,
}

/// What to ask a run, or to tell it.
#[derive(Debug, Subcommand)]
pub(super) enum CtlVerb {
    /// How far the run is, and each scenario with its target.
    Status,
    /// Requests, failures and times: of the last stats interval, and in all.
    Stats,
    /// How the thresholds stand.
    Thresholds,
    /// Set the number of VUs, or change it: 50, +5, -5.
    Vus {
        /// How many, or how many more or fewer.
        #[arg(allow_hyphen_values = true)]
        number: String,
        #[command(flatten)]
        which: Which,
    },
    /// Set the rate of iterations, or change it: 100/s, +10/s, -10/s.
    Rate {
        /// How many a second, minute or hour, or how many more or fewer.
        #[arg(allow_hyphen_values = true)]
        rate: String,
        #[command(flatten)]
        which: Which,
    },
    /// Start no iterations until the run is resumed; its time stands still.
    Pause(Which),
    /// Go on where the run was paused.
    Resume(Which),
    /// End the run: iterations under way may end, and its exit code is 105.
    Stop {
        /// Cut iterations under way.
        #[arg(long)]
        now: bool,
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
    /// The script: a WebAssembly component. With --config, that of the scenarios that name none.
    pub(super) script: Option<PathBuf>,
    /// Spread the run over so many workers, each a process of its own on this machine.
    ///
    /// A NATS server is started for it (`nats-server` has to be installed) and ends with the run.
    /// For workers on other machines there is `squall master`.
    ///
    /// Example: --workers 4
    #[arg(long, value_name = "N", help_heading = "This program")]
    pub(super) workers: Option<String>,
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

/// The arguments of `master`.
#[derive(Debug, Args)]
pub(super) struct MasterArgs {
    /// The script: a WebAssembly component. With --config, that of the scenarios that name none.
    pub(super) script: Option<PathBuf>,
    #[command(flatten)]
    pub(super) team: TeamArgs,
    #[command(flatten)]
    pub(super) link: LinkArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl MasterArgs {
    /// What the flags say of the run.
    pub(super) fn options(self) -> Options {
        let mut options = self.common.options();
        self.target.say(&mut options);
        options
    }
}

/// Who works for a master.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workers")]
pub(super) struct TeamArgs {
    /// How many workers there are to be; the load is dealt out to them evenly.
    ///
    /// Example: --workers 20
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "resume",
        env = "SQUALL_WORKERS"
    )]
    pub(super) workers: Option<String>,
    /// How long to wait until they are there.
    ///
    /// Example: --wait 10m
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(super) wait: String,
    /// What to do when a worker is lost: continue, rebalance or abort.
    ///
    /// continue leaves its part undone; rebalance gives it to the others, or to a worker that came
    /// later; abort ends the run. With each of them the exit code is 110, unless it comes back.
    ///
    /// Example: --on-worker-loss rebalance
    #[arg(long, value_name = "POLICY", default_value = "continue")]
    pub(super) on_worker_loss: String,
    /// How long workers go on when they hear nothing of the master; finish is to the end of the
    /// plan, after which they keep the result for --resume.
    ///
    /// Example: --orphan-timeout 2m
    #[arg(long, value_name = "TIME|finish", default_value = "30s")]
    pub(super) orphan_timeout: String,
    /// Take over a run whose master is gone, or collect its result, if it was started with
    /// --orphan-timeout finish.
    ///
    /// RUN is the id that master and workers told. The plan is that of the run: besides NATS only
    /// what becomes of the result can be said.
    ///
    /// Example: --resume 019354c1-3c4b-7d32-9a55-0c8c1f0d6e21
    #[arg(long, value_name = "RUN")]
    pub(super) resume: Option<String>,
}

/// How master and workers reach each other.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "NATS")]
pub(super) struct LinkArgs {
    /// The NATS server over which master and workers speak: nats://HOST:PORT or tls://HOST:PORT.
    ///
    /// For a master also spawn, which starts the installed nats-server for the time of the run, on
    /// loopback or at the address after it: spawn:ADDRESS:PORT.
    ///
    /// Example: --nats nats://broker:4222
    #[arg(long, value_name = "URL", env = "SQUALL_NATS", hide_env_values = true)]
    pub(super) nats: String,
    /// A file with credentials: a JWT and its key.
    #[arg(long, value_name = "FILE", env = "SQUALL_NATS_CREDS")]
    pub(super) nats_creds: Option<PathBuf>,
    /// A file with the seed of an nkey.
    #[arg(long, value_name = "FILE", env = "SQUALL_NATS_NKEY")]
    pub(super) nats_nkey: Option<PathBuf>,
    /// A certificate to trust, as PEM, beside those of the system.
    #[arg(long, value_name = "FILE", env = "SQUALL_NATS_CA")]
    pub(super) nats_ca: Option<PathBuf>,
    /// This node's own certificate, as PEM, if the server asks for one.
    #[arg(
        long,
        value_name = "FILE",
        requires = "nats_key",
        env = "SQUALL_NATS_CERT"
    )]
    pub(super) nats_cert: Option<PathBuf>,
    /// The key of --nats-cert, as PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires = "nats_cert",
        env = "SQUALL_NATS_KEY"
    )]
    pub(super) nats_key: Option<PathBuf>,
    /// Which of several clusters on one server: master and workers name the same.
    ///
    /// Example: --cluster staging
    #[arg(
        long,
        value_name = "NAME",
        default_value = "default",
        env = "SQUALL_CLUSTER"
    )]
    pub(super) cluster: String,
}

/// The arguments of `worker`.
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// With --locust-master: the script, or with --config that of the scenarios that name none.
    /// Without either the master's locustfile brings it.
    #[arg(requires = "locust_master")]
    pub(super) script: Option<PathBuf>,
    /// A Locust master to work for, in place of a master of squall's: it says how many VUs there
    /// are, and gets the result.
    ///
    /// A scenario is a user class of the same name. Locust's protocol has no encryption and no
    /// authentication: keep it on loopback, in a VPN, or behind a NetworkPolicy.
    ///
    /// Example: --locust-master 127.0.0.1:5557
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SQUALL_LOCUST_MASTER",
        help_heading = "Locust"
    )]
    pub(super) locust_master: Option<String>,
    /// A TOML file with scenarios and any flag of `squall run`.
    ///
    /// Example: --config load.toml
    #[arg(
        long,
        value_name = "FILE",
        requires = "locust_master",
        help_heading = "Locust"
    )]
    config: Option<String>,
    /// What the script's relative URLs are resolved against; the master's host if it is left out.
    ///
    /// Example: --base-url http://127.0.0.1:8080
    #[arg(
        long,
        value_name = "URL",
        requires = "locust_master",
        help_heading = "Locust"
    )]
    base_url: Option<String>,
    /// A variable of the script's environment. Repeatable.
    ///
    /// Example: --env LOGIN=alice
    #[arg(
        long,
        value_name = "NAME=VALUE",
        requires = "locust_master",
        help_heading = "Locust"
    )]
    env: Vec<String>,
    /// How many VUs this worker may have of each scenario: 10000, or as many as fit.
    ///
    /// Example: --max-vus 500
    #[arg(
        long,
        value_name = "N",
        requires = "locust_master",
        help_heading = "Locust"
    )]
    max_vus: Option<String>,
    #[command(flatten)]
    pub(super) link: LinkArgs,
    /// What this worker is called; the machine's name if it is left out.
    #[arg(
        long,
        value_name = "NAME",
        env = "SQUALL_WORKER_NAME",
        help_heading = "This program"
    )]
    pub(super) name: Option<String>,
    /// End after one run.
    #[arg(long, help_heading = "This program")]
    pub(super) once: bool,
    /// The only run to take part in.
    #[arg(long, hide = true)]
    pub(super) run: Option<String>,
    /// End when the input does.
    #[arg(long, hide = true)]
    pub(super) tied: bool,
    /// A host that scripts may reach from here, whatever the master says; given at all, they can
    /// reach no other. Repeatable.
    ///
    /// Example: --allow-host shop.example
    #[arg(long, value_name = "HOST", help_heading = "Target")]
    allow_host: Vec<String>,
    /// Who writes log entries of this node: json, locust, none or the path of a component.
    /// Repeatable. None if it is left out.
    ///
    /// Example: --recorder json,sink=tcp:127.0.0.1:9000
    #[arg(long, value_name = "NAME[,KEY=VALUE…]", help_heading = "Telemetry")]
    recorder: Vec<String>,
    /// Where log entries go that have no sink of their own, one line each: a file, which each run
    /// makes anew, or - for stdout.
    ///
    /// Example: --telemetry worker.ndjson
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    telemetry: Option<String>,
    /// Say nothing but why it cannot go on.
    #[arg(long, help_heading = "This program")]
    quiet: bool,
    /// Which of squall's own diagnostics to print: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", help_heading = "This program")]
    log: Option<String>,
    /// How many threads play VUs.
    ///
    /// Example: --threads 2
    #[arg(long, value_name = "N", help_heading = "This program")]
    threads: Option<String>,
    /// Where scripts, data and compiled components are kept for the next run.
    ///
    /// Example: --cache-dir /var/cache/squall
    #[arg(long, value_name = "DIR", help_heading = "This program")]
    cache_dir: Option<String>,
}

impl WorkerArgs {
    /// What the flags say of this node.
    pub(super) fn options(self) -> Options {
        let mut options = Options::default();
        say(&mut options, Key::Config, self.config);
        say(&mut options, Key::BaseUrl, self.base_url);
        say(&mut options, Key::Env, self.env);
        say(&mut options, Key::MaxVus, self.max_vus);
        say(&mut options, Key::AllowHost, self.allow_host);
        say(&mut options, Key::Recorder, self.recorder);
        say(&mut options, Key::Telemetry, self.telemetry);
        say(
            &mut options,
            Key::Quiet,
            self.quiet.then(|| "true".to_owned()),
        );
        say(&mut options, Key::Log, self.log);
        say(&mut options, Key::Threads, self.threads);
        say(&mut options, Key::CacheDir, self.cache_dir);
        options
    }
}

/// The arguments of `locust-stub`.
#[derive(Debug, Args)]
pub(super) struct LocustStubArgs {
    /// The script: a WebAssembly component. With --config, that of the scenarios that name none.
    #[arg(required_unless_present = "config")]
    pub(super) script: Option<PathBuf>,
    /// A TOML file with scenarios and any flag of `squall run`.
    ///
    /// Example: --config load.toml
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Put scripts and data into the locustfile, so that it needs nothing else. Without it the
    /// master reads them where they are now.
    #[arg(long)]
    pub(super) embed_script: bool,
}

impl LocustStubArgs {
    /// What the flags say of the plan.
    pub(super) fn options(self) -> Options {
        let mut options = Options::default();
        say(&mut options, Key::Config, self.config);
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
    /// The component, or a TOML file as for --config.
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

/// Where requests may go, and which file says more. `demo` has a server of its
/// own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
struct TargetArgs {
    /// A TOML file with scenarios, thresholds, recorders and any other flag.
    ///
    /// Its keys are the flags' names. A flag wins over it, for every scenario.
    ///
    /// Example: --config load.toml
    #[arg(long, value_name = "FILE", help_heading = "Load", display_order = 0)]
    config: Option<String>,
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
            config,
            base_url,
            allow_host,
            insecure,
        } = self;
        say(options, Key::Config, config);
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
    /// At which rate iterations start, whatever the target does: an open model.
    ///
    /// Each iteration has its time, and whoever is free takes it; VUs are made when none is. With
    /// --stage it is the rate at the start.
    ///
    /// Example: --rate 50/s --duration 1m, or --rate 600/m --duration 1m
    #[arg(long, value_name = "N/UNIT", help_heading = "Load")]
    rate: Option<String>,
    /// To how many VUs to go, in which time; with --rate, to which rate. Repeatable: one stage
    /// after the other.
    ///
    /// VUs begin with --vus, or none. In no time at all (0s) the number jumps.
    ///
    /// Example: --stage 30s:50 --stage 2m:50 --stage 10s:0
    ///
    /// Example: --rate 0/s --stage 1m:200/s --stage 5m:200/s
    #[arg(long, value_name = "TIME:TARGET", help_heading = "Load")]
    stage: Vec<String>,
    /// A component that says once a second how much load there is: VUs or a rate.
    ///
    /// In place of the flags above, but for --duration, which ends the run at the latest, and
    /// --max-vus. Options for the shape follow its path. A run with a shape has one scenario. A
    /// shape that fails ends the run, with exit code 110.
    ///
    /// Example: --shape ./double_wave.wasm
    ///
    /// Example: --shape ./goal_seek.wasm,p99=500ms,errors=1% --max-vus 500
    #[arg(long, value_name = "FILE[,KEY=VALUE…]", help_heading = "Load")]
    shape: Option<String>,
    /// How iterations are started: one of six executors.
    ///
    /// constant-vus, ramping-vus, per-vu-iterations (--iterations is then for each VU),
    /// shared-iterations, constant-arrival-rate, ramping-arrival-rate. All but per-vu-iterations
    /// follow from the other flags: --rate makes the last two, --stage without it ramping-vus,
    /// --iterations shared-iterations, --duration alone constant-vus.
    ///
    /// Example: --executor per-vu-iterations --vus 5 --iterations 3
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    executor: Option<String>,
    /// How many VUs there may be at once.
    ///
    /// With --rate: an iteration that is due when all of them are busy is dropped, and counted.
    ///
    /// Example: --rate 50/s --duration 1m --max-vus 200
    #[arg(long, value_name = "N", help_heading = "Load")]
    max_vus: Option<String>,
    /// How iterations that start at a rate are spread: even or poisson.
    ///
    /// poisson starts them as people would who know nothing of each other, the same ones for
    /// the same --seed.
    ///
    /// Example: --rate 50/s --duration 1m --arrivals poisson
    #[arg(long, value_name = "HOW", help_heading = "Load")]
    arrivals: Option<String>,
    /// How long after the run's start iterations begin to start.
    ///
    /// Example: --start-time 10s
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    start_time: Option<String>,
    /// How long iterations under way may go on when the run ends.
    ///
    /// Those that are not done by then are cut short and counted as interrupted.
    ///
    /// Example: --graceful-stop 5s
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    graceful_stop: Option<String>,
    /// How long a VU may go on with its iteration when stages have one too many.
    ///
    /// Example: --graceful-ramp-down 5s
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    graceful_ramp_down: Option<String>,
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
    /// A file of rows that the script opens by this name: CSV, JSON or NDJSON. Repeatable.
    ///
    /// order=sequential, random or unique is how rows are dealt out to the VUs: sequential if
    /// it is left out; unique gives each row once in the whole run. at-end=wrap, stop-vu or
    /// end-run is what happens when they are used up: rows begin anew, unless they are unique:
    /// then the VU ends, and with a rate no other is made. format=csv, json or ndjson goes before
    /// the file's extension. header=NAME+NAME names the columns of a CSV file whose first line is
    /// a row.
    ///
    /// Example: --data users=users.csv,order=unique --data items=items.ndjson,order=random
    #[arg(long, value_name = "NAME=FILE[,KEY=VALUE…]", help_heading = "Script")]
    data: Vec<String>,
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
    /// How long the script's setup may take, waiting included.
    ///
    /// Example: --setup-timeout 5m
    #[arg(long, value_name = "TIME", help_heading = "Script")]
    setup_timeout: Option<String>,
    /// How long the script's teardown may take, waiting included.
    ///
    /// Example: --teardown-timeout 10s
    #[arg(long, value_name = "TIME", help_heading = "Script")]
    teardown_timeout: Option<String>,
    /// How long a VU's on-start may take, waiting included; the VU ends if it takes longer.
    ///
    /// Example: --on-start-timeout 10s
    #[arg(long, value_name = "TIME", help_heading = "Script")]
    on_start_timeout: Option<String>,
    /// How long a VU's on-stop may take, waiting included.
    ///
    /// Example: --on-stop-timeout 10s
    #[arg(long, value_name = "TIME", help_heading = "Script")]
    on_stop_timeout: Option<String>,
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
    /// METRIC{TAG:VALUE}: AGGREGATE[WINDOW] OPERATOR NUMBER abort after TIME. Tag, window and abort
    /// can be left out; a comma adds a condition. Times are in milliseconds, shares from 0 to 1.
    ///
    /// Times: http_req_duration, http_req_duration_from_due (with --rate), http_req_connecting,
    /// http_req_tls_handshaking, http_req_waiting, http_req_receiving, transaction_duration,
    /// iteration_duration, iteration_lag; each has p(N), min, max, avg, med, count.
    ///
    /// Counters: http_reqs, iterations, dropped_iterations, data_sent, data_received; each has
    /// count, and rate a second.
    ///
    /// Shares: http_req_failed, transaction_failed, checks; each has rate.
    ///
    /// Gauges: vus, vus_max; each has value, min, max.
    ///
    /// Any other name is a metric of the script's own.
    ///
    /// Tags: name, method, status, expected_response, group, scenario, check, and those of --tag
    /// and of the script.
    ///
    /// A window such as [30s] judges the last 30 seconds again and again. With abort a threshold
    /// that does not hold ends the run; with a time, not before it.
    ///
    /// Example: --threshold 'http_req_duration{name:login}: p(95) < 500, p(99) < 900'
    ///
    /// Example: --threshold 'http_req_failed: rate[30s] < 0.1 abort after 10s'
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
    /// A tag by whose values results are split as well. Repeatable, up to four.
    ///
    /// The tags are those of --tag, of the scenarios, and of the script; scenario is the name of
    /// the scenario, and with several scenarios results are split by it in any case. Requests
    /// without the tag are counted as (none), values beyond --names as (other).
    ///
    /// Example: --group-by part --group-by scenario
    #[arg(long, value_name = "TAG", help_heading = "Result")]
    group_by: Vec<String>,
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
    /// Where to listen for `squall ctl`, which looks at the run and steers it.
    ///
    /// Port 0 takes one that is free, and tells it. Whoever has the run's token may call it; the
    /// variable SQUALL_CONTROL_TOKEN chooses one, else it is made, and kept where only you
    /// can read it.
    ///
    /// Example: --control 127.0.0.1:0
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "This program")]
    control: Option<String>,
    /// Let --control listen to other machines, too. Nothing is encrypted.
    ///
    /// Example: --control 0.0.0.0:6789 --control-remote
    #[arg(long, help_heading = "This program")]
    control_remote: bool,
}

impl CommonArgs {
    fn options(self) -> Options {
        let Self {
            vus,
            duration,
            iterations,
            rate,
            stage,
            shape,
            executor,
            max_vus,
            arrivals,
            start_time,
            graceful_stop,
            graceful_ramp_down,
            seed,
            env,
            data,
            http_timeout,
            vu_memory,
            iteration_timeout,
            setup_timeout,
            teardown_timeout,
            on_start_timeout,
            on_stop_timeout,
            log_messages,
            threshold,
            summary,
            test_plan,
            tag,
            group_by,
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
            control,
            control_remote,
        } = self;
        let mut options = Options::default();
        for (key, text) in [
            (Key::Vus, vus),
            (Key::Duration, duration),
            (Key::Iterations, iterations),
            (Key::Rate, rate),
            (Key::Shape, shape),
            (Key::Executor, executor),
            (Key::MaxVus, max_vus),
            (Key::Arrivals, arrivals),
            (Key::StartTime, start_time),
            (Key::GracefulStop, graceful_stop),
            (Key::GracefulRampDown, graceful_ramp_down),
            (Key::Seed, seed),
            (Key::HttpTimeout, http_timeout),
            (Key::VuMemory, vu_memory),
            (Key::IterationTimeout, iteration_timeout),
            (Key::SetupTimeout, setup_timeout),
            (Key::TeardownTimeout, teardown_timeout),
            (Key::OnStartTimeout, on_start_timeout),
            (Key::OnStopTimeout, on_stop_timeout),
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
            (Key::Control, control),
            (
                Key::ControlRemote,
                control_remote.then(|| "true".to_owned()),
            ),
        ] {
            say(&mut options, key, text);
        }
        for (key, texts) in [
            (Key::Stage, stage),
            (Key::Env, env),
            (Key::Data, data),
            (Key::Threshold, threshold),
            (Key::Tag, tag),
            (Key::GroupBy, group_by),
            (Key::Recorder, recorder),
        ] {
            say(&mut options, key, texts);
        }
        options
    }
}

fn say(options: &mut Options, key: Key, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        // A list of hosts or tags may be one value, as it is in the variable.
        if matches!(key, Key::AllowHost | Key::GroupBy) {
            let parts = text.split(',').map(str::trim);
            parts.for_each(|part| options.say(key, part, Place::Flag));
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
        .and_then(|cli| with_something_to_run(cli.verb))
        .map_err(|error| Ended(with_suggestion(error)))
}

/// A run needs a script, or a file that names one.
fn with_something_to_run(verb: Verb) -> Result<Verb, clap::Error> {
    let variable = Key::Config.variable().and_then(std::env::var_os);
    if let Verb::Run(args) = &verb
        && args.script.is_none()
        && args.target.config.is_none()
        && variable.is_none_or(|file| file.is_empty())
    {
        let mut command = command();
        command.build();
        let run = command
            .find_subcommand_mut("run")
            .expect("it is one of the verbs");
        return Err(run.error(
            ErrorKind::MissingRequiredArgument,
            "what to run is missing: a script, or `--config FILE`",
        ));
    }
    Ok(verb)
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
    let command = verbs.into_iter().fold(Cli::command(), |command, verb| {
        command.mut_subcommand(verb, |verb| verb.mut_args(annotate))
    });
    // A worker has a master over NATS or a Locust master.
    command.mut_subcommand("worker", |worker| {
        worker.mut_arg("nats", |nats| {
            nats.required(false)
                .required_unless_present("locust_master")
                .default_value("")
                .hide_default_value(true)
        })
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
