//! The wrapping that all log entries share: when, how severe, what, and on which
//! run and node, under the names that a profile gives them.

use std::fmt;

use crate::line::{Line, Object, Text};
use crate::options::Profile;
use crate::squall::recorder::events::{LogLevel, Role, RunInfo, Tag};

/// A number that grows with the set of events and keys.
const SCHEMA_VERSION: &str = "1.0";
/// The version of the Elastic Common Schema that the profile `ecs` follows.
const ECS_VERSION: &str = "8.11.0";
/// Log drivers split longer lines, or drop them.
pub const LINE_LIMIT: usize = 8 * 1024;
/// How many bytes of lines are handed over as one string, and a line at most above
/// that: it takes a call for each string, and memory to let one grow.
const PAGE: usize = 64 * 1024;
/// How long a string may get, and how long in a line that got too long. With the
/// shorter ones any line fits.
pub const STRING_LIMITS: [usize; 2] = [1024, 128];
/// How many labels a run and how many tags a measurement may have, and how long
/// their names and values may get.
const LABELS: usize = 16;
const LABEL_NAME_LIMIT: usize = 64;
const LABEL_VALUE_LIMIT: usize = 256;

/// How severe an entry is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    const ALL: [Level; 4] = [Level::Debug, Level::Info, Level::Warn, Level::Error];

    fn name(self, profile: Profile) -> &'static str {
        match (self, profile) {
            (Level::Debug, Profile::Gcp) => "DEBUG",
            (Level::Info, Profile::Gcp) => "INFO",
            (Level::Warn, Profile::Gcp) => "WARNING",
            (Level::Error, Profile::Gcp) => "ERROR",
            (Level::Debug, _) => "debug",
            (Level::Info, _) => "info",
            (Level::Warn, _) => "warn",
            (Level::Error, _) => "error",
        }
    }

    /// The number that OpenTelemetry gives to the level.
    fn severity_number(self) -> u64 {
        match self {
            Level::Debug => 5,
            Level::Info => 9,
            Level::Warn => 13,
            Level::Error => 17,
        }
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warn => Level::Warn,
            LogLevel::Error => Level::Error,
        }
    }
}

/// Declares the events' names: each has a schema of that name.
macro_rules! names {
    ($($case:ident = $name:literal,)*) => {
        /// What an entry is about.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Name {
            $($case,)*
        }

        impl Name {
            /// Every name.
            #[cfg(test)]
            pub const ALL: &[Name] = &[$(Name::$case,)*];

            const COUNT: usize = [$(Name::$case,)*].len();

            pub fn text(self) -> &'static str {
                match self {
                    $(Name::$case => concat!("loadtest.", $name),)*
                }
            }
        }
    };
}

names! {
    RunStart = "run.start",
    RampComplete = "users.ramp_complete",
    StopRequested = "run.stop_requested",
    RunEnd = "run.end",
    WorkerConnected = "worker.connected",
    WorkerLost = "worker.lost",
    ThresholdBreached = "threshold.breached",
    ThresholdRecovered = "threshold.recovered",
    ThresholdResult = "threshold.result",
    LoadChanged = "load.changed",
    ShapeResult = "shape.result",
    TelemetryDropped = "telemetry.dropped",
    ResourceWarning = "resource.warning",
    ResourceRecovered = "resource.recovered",
    ResourceStats = "resource.stats",
    RequestStats = "request.stats",
    RequestError = "request.error",
    IterationStats = "iteration.stats",
    CheckStats = "check.stats",
    TransactionStats = "transaction.stats",
    MetricCustom = "metric.custom",
    GuestError = "guest.error",
    GuestLog = "guest.log",
    RequestSample = "request.sample",
    TransactionSample = "transaction.sample",
    IterationSample = "iteration.sample",
    CheckSample = "check.sample",
    MetricSample = "metric.sample",
    Other = "other",
}

/// The wrapping of one run's entries.
#[derive(Debug)]
pub struct Envelope {
    profile: Profile,
    node: String,
    /// What stands before the time.
    start: String,
    /// What stands between the time and the message, or in the profile `ecs` the
    /// number, for each name and level, once it was used.
    heads: [[Option<String>; Level::ALL.len()]; Name::COUNT],
    /// What is the same in all lines, for each of the limits on strings.
    fixed: [Fixed; STRING_LIMITS.len()],
    /// The number of the last entry.
    seq: u64,
    /// The line under way, behind the finished ones of the last page.
    line: Line,
    /// The pages before it.
    pages: Vec<String>,
}

/// What is the same in all lines of a run.
#[derive(Debug)]
struct Fixed {
    /// From the end of the message to the node.
    run: String,
    /// The same, with the node on which this recorder runs, to the number.
    here: String,
    truncated: bool,
}

impl Envelope {
    pub fn new(run: &RunInfo, profile: Profile) -> Self {
        Self {
            profile,
            node: run.node.clone(),
            start: format!("{{\"{}\":\"", key("time", profile)),
            heads: [const { [const { None }; Level::ALL.len()] }; Name::COUNT],
            fixed: STRING_LIMITS.map(|limit| Fixed::new(run, profile, limit)),
            seq: 0,
            line: Line::default(),
            pages: Vec::new(),
        }
    }

    /// Takes the entries that were added: each string has several, a line each.
    pub fn take(&mut self) -> Vec<String> {
        let mut pages = std::mem::take(&mut self.pages);
        if self.line.finished() > 0 {
            pages.push(self.line.take());
        }
        pages
    }

    /// A node, if it is not the one on which this recorder runs.
    pub fn other<'a>(&self, node: &'a str) -> Option<&'a str> {
        (node != self.node).then_some(node)
    }

    /// Where the entries go about what happened then, on this node or another.
    pub fn entries<'a>(&'a mut self, time_ms: f64, other: Option<&'a str>) -> Entries<'a> {
        Entries {
            envelope: self,
            time_ms,
            other,
        }
    }

    fn write(&mut self, limits: usize, time_ms: f64, other: Option<&str>, entry: &Entry<'_>) {
        let (profile, seq) = (self.profile, self.seq);
        let fixed = &self.fixed[limits];
        let head = self.heads[entry.name as usize][entry.level as usize]
            .get_or_insert_with(|| head(entry.level, entry.name, profile));
        let line = &mut self.line;
        line.clear(STRING_LIMITS[limits]);
        line.short(&self.start);
        line.unquoted_time(time_ms);
        line.raw(head);
        if profile == Profile::Ecs {
            line.count(seq);
            line.raw("},\"message\":\"");
        }
        line.unquoted(|text| {
            // A string takes all that it is given.
            let _ = (entry.message)(text);
        });
        match other {
            None => line.raw(&fixed.here),
            Some(node) => {
                line.raw(&fixed.run);
                line.raw(",\"node\":");
                line.object(|members| another_node(members, node));
                line.raw(before_number(profile));
            }
        }
        if profile != Profile::Ecs {
            line.count(seq);
        }
        let mut members = line.members();
        (entry.payload)(&mut members);
        if fixed.truncated || line.truncated() {
            line.raw(",\"truncated\":true");
        }
        line.raw("}");
    }
}

/// The key that a profile has for this one.
fn key(native: &'static str, profile: Profile) -> &'static str {
    match (profile, native) {
        (Profile::Ecs, "time") => "@timestamp",
        (Profile::Ecs, "level") => "log.level",
        (Profile::Datadog, "time") => "timestamp",
        (Profile::Datadog, "level") => "status",
        (Profile::Gcp, "level") => "severity",
        _ => native,
    }
}

/// What stands between an entry's time and its message, or its number where that
/// comes first.
fn head(level: Level, name: Name, profile: Profile) -> String {
    let (key, level_name) = (key("level", profile), level.name(profile));
    let (severity, name) = (level.severity_number(), name.text());
    match profile {
        Profile::Ecs => format!(
            "\",\"{key}\":\"{level_name}\",\"event\":{{\"action\":\"{name}\",\
             \"dataset\":\"squall.telemetry\",\"severity\":{severity},\"sequence\":"
        ),
        _ => format!(
            "\",\"{key}\":\"{level_name}\",\"severity_number\":{severity},\
             \"event_name\":\"{name}\",\"message\":\""
        ),
    }
}

/// What stands between a line's node and its number, if that comes last.
fn before_number(profile: Profile) -> &'static str {
    match profile {
        Profile::Ecs => "",
        _ => ",\"seq\":",
    }
}

impl Fixed {
    fn new(run: &RunInfo, profile: Profile, limit: usize) -> Self {
        let mut line = Line::new(limit);
        line.raw("\"");
        let mut members = line.members();
        if profile == Profile::Ecs {
            members.text("ecs.version", ECS_VERSION);
        }
        members.text("schema_version", SCHEMA_VERSION);
        if profile == Profile::Datadog {
            members.text("service", "squall");
            members.text("version", &run.host_version);
            members.optional("host", Some(&run.hostname));
            members.text("ddsource", "squall");
        } else {
            members.object("service", |service| {
                service.text("name", "squall");
                service.text("version", &run.host_version);
                if profile == Profile::Ecs {
                    service.object("node", |node| node.text("name", &run.node));
                } else {
                    service.object("instance", |instance| instance.text("id", &run.node));
                }
            });
        }
        if profile == Profile::Ecs {
            members.object("host", |host| host.optional("name", Some(&run.hostname)));
            labels(&mut members, "labels", &run.tags, profile);
        }
        members.object("run", |members| {
            members.text("id", &run.run_id);
            members.text("plan", &run.test_plan);
            if matches!(profile, Profile::Native | Profile::Datadog) {
                labels(members, "labels", &run.tags, profile);
            }
        });
        if profile == Profile::Gcp {
            labels(
                &mut members,
                "logging.googleapis.com/labels",
                &run.tags,
                profile,
            );
        }
        let run_ends = line.text().len();
        line.members().object("node", |members| {
            members.text("role", role_name(run.role));
            members.text("id", &run.node);
            if matches!(profile, Profile::Native | Profile::Gcp) {
                members.optional("host", Some(&run.hostname));
            }
            members.count("pid", run.process_id.into());
        });
        line.raw(before_number(profile));
        Self {
            run: line.text()[..run_ends].to_owned(),
            here: line.text().to_owned(),
            truncated: line.truncated(),
        }
    }
}

/// The entries about one event.
pub struct Entries<'a> {
    envelope: &'a mut Envelope,
    time_ms: f64,
    other: Option<&'a str>,
}

/// What there is to say, without the wrapping.
struct Entry<'a> {
    level: Level,
    name: Name,
    message: &'a dyn Fn(&mut Text<'_>) -> fmt::Result,
    payload: &'a dyn Fn(&mut Object<'_>),
}

impl Entries<'_> {
    /// Adds an entry: `message` is a sentence for a person, the members that
    /// `payload` writes go to the end of the line. Both may be asked more than
    /// once.
    pub fn add(
        &mut self,
        level: Level,
        name: Name,
        message: impl Fn(&mut Text<'_>) -> fmt::Result,
        payload: impl Fn(&mut Object<'_>),
    ) {
        let entry = Entry {
            level,
            name,
            message: &message,
            payload: &payload,
        };
        let envelope = &mut *self.envelope;
        envelope.seq += 1;
        for limits in 0..STRING_LIMITS.len() {
            envelope.write(limits, self.time_ms, self.other, &entry);
            if envelope.line.text().len() <= LINE_LIMIT {
                break;
            }
        }
        envelope.line.finish();
        if envelope.line.finished() >= PAGE {
            envelope.pages.push(envelope.line.take());
        }
    }
}

/// The tags of a measurement.
pub fn tags(members: &mut Object<'_>, tags: &[Tag]) {
    let kept = &tags[..tags.len().min(LABELS)];
    if kept.len() < tags.len() {
        members.mark_truncated();
    }
    members.pairs("tags", kept, LABEL_NAME_LIMIT + LABEL_VALUE_LIMIT);
}

/// A node that is not the one on which this recorder runs.
fn another_node(members: &mut Object<'_>, node: &str) {
    let role = match node {
        "standalone" => Role::Standalone,
        "master" => Role::Master,
        _ => Role::Worker,
    };
    members.text("role", role_name(role));
    members.text("id", node);
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Standalone => "standalone",
        Role::Master => "master",
        Role::Worker => "worker",
    }
}

/// The run's tags: the only keys in a line that a user makes up.
fn labels(members: &mut Object<'_>, key: &str, tags: &[Tag], profile: Profile) {
    let mut names: Vec<String> = Vec::new();
    members.object(key, |labels| {
        for (name, value) in tags {
            // Where a dot in a key means an object, the name must not have one.
            let name = match profile {
                Profile::Ecs => name.replace('.', "_"),
                _ => name.clone(),
            };
            let mut written = Line::new(LABEL_NAME_LIMIT);
            written.string(|text| text.push(&name));
            let quoted = written.text();
            let name = quoted[1..quoted.len() - 1].to_owned();
            if names.len() == LABELS || written.truncated() {
                labels.mark_truncated();
            }
            if names.len() < LABELS && !name.is_empty() && !names.contains(&name) {
                labels.short_text(&name, value, LABEL_VALUE_LIMIT);
                names.push(name);
            }
        }
    });
}
