//! One value at a time, from its text.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use super::options::nearest;
use crate::measure::Tag;
use crate::plan::threshold::ThresholdError;
use crate::plan::{Arrivals, Executor, RecorderSource, RecorderSpec, SinkSpec, Stage, Threshold};
use crate::units::{Rate, parse_duration, parse_rate, parse_size};

/// Why a text is not the value that it should be.
#[derive(Debug)]
pub(super) struct Wrong {
    /// What was expected.
    pub(super) expected: String,
    /// What to write instead.
    pub(super) hint: Option<String>,
    /// Which character of the text is wrong, from 0, where that can be told.
    pub(super) at: Option<usize>,
}

impl Wrong {
    fn new(expected: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            hint: None,
            at: None,
        }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

pub(super) type Parsed<T> = Result<T, Wrong>;

pub(super) fn vus(text: &str) -> Parsed<NonZeroU32> {
    text.parse().map_err(|_| {
        Wrong::new(format!("a whole number from 1 to {}", u32::MAX)).hint("such as `50`")
    })
}

/// A number of VUs that stages begin with or go to.
pub(super) fn vus_or_none(text: &str) -> Parsed<u32> {
    text.parse().map_err(|_| {
        Wrong::new(format!("a whole number from 0 to {}", u32::MAX)).hint("such as `50`")
    })
}

/// A rate above zero, but for one that a ramp begins with.
pub(super) fn rate(text: &str) -> Parsed<Rate> {
    parse_rate(text).map_err(|_| {
        let wrong = Wrong::new("a rate with its unit");
        match text.trim().parse::<f64>() {
            Ok(number) if number > 0.0 => wrong.hint(format!("did you mean `{}/s`?", text.trim())),
            _ => wrong.hint("such as `50/s`, `600/m` or `0.5/s`"),
        }
    })
}

/// `TIME:VUS`.
pub(super) fn vus_stage(text: &str) -> Parsed<Stage<u32>> {
    stage(text, "a number of VUs", |target| {
        target.parse().map_err(|_| match parse_rate(target) {
            Ok(rate) => format!("a rate needs a rate to start from: add `--rate {rate}`"),
            Err(_) => "such as `30s:50`".to_owned(),
        })
    })
}

/// `TIME:RATE`, where the rate may go without the unit of `start`.
pub(super) fn rate_stage(text: &str, start: Rate) -> Parsed<Stage<Rate>> {
    stage(text, "a rate", |target| {
        let target = parse_rate(target).or_else(|_| start.same_unit(target));
        target.map_err(|_| "such as `30s:50/s`".to_owned())
    })
}

fn stage<T>(text: &str, what: &str, parse: impl Fn(&str) -> Result<T, String>) -> Parsed<Stage<T>> {
    let wrong = || Wrong::new(format!("a duration, a colon and {what}"));
    let Some((time, target)) = text.split_once(':') else {
        return Err(wrong().hint("such as `30s:50`: in 30 seconds to 50"));
    };
    let duration = duration(time.trim())
        .map_err(|inner| wrong().hint(inner.hint.unwrap_or(inner.expected)))?;
    let target = parse(target.trim()).map_err(|hint| wrong().hint(hint))?;
    Ok(Stage { duration, target })
}

/// How arrivals are spread.
pub(super) fn arrivals(text: &str) -> Parsed<Arrivals> {
    match text {
        "even" => Ok(Arrivals::Even),
        "poisson" => Ok(Arrivals::Poisson),
        _ => Err(Wrong::new("`even` or `poisson`").hint("leave it out for `even`")),
    }
}

pub(super) fn threads(text: &str) -> Parsed<usize> {
    text.parse()
        .ok()
        .filter(|threads| (1..=1024).contains(threads))
        .ok_or_else(|| {
            Wrong::new("a whole number from 1 to 1024")
                .hint("leave it out to use every core that is available")
        })
}

pub(super) fn iterations(text: &str) -> Parsed<NonZeroU64> {
    text.parse()
        .map_err(|_| Wrong::new("a whole number from 1").hint("such as `1000`"))
}

pub(super) fn names(text: &str) -> Parsed<usize> {
    text.parse()
        .ok()
        .filter(|names| (1..=1_000_000).contains(names))
        .ok_or_else(|| Wrong::new("a whole number from 1 to 1000000").hint("such as `1000`"))
}

pub(super) fn count(text: &str) -> Parsed<u64> {
    text.parse()
        .map_err(|_| Wrong::new("a whole number from 0").hint("such as `1000`"))
}

pub(super) fn seed(text: &str) -> Parsed<u64> {
    text.parse().map_err(|_| {
        Wrong::new(format!("a whole number from 0 to {}", u64::MAX)).hint("such as `42`")
    })
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Wrong::new("`true` or `false`").hint("leave it out for `false`")),
    }
}

/// Any duration, zero included.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    parse_duration(text).map_err(|_| {
        let number = text.trim().parse::<f64>().is_ok_and(|number| number > 0.0);
        let wrong = Wrong::new("a duration with its unit");
        if number {
            wrong.hint(format!("did you mean `{}s`?", text.trim()))
        } else {
            wrong.hint("such as `30s`, `1m30s`, `2h` or `500ms`")
        }
    })
}

pub(super) fn duration_above_zero(text: &str) -> Parsed<Duration> {
    at_least(text, Duration::from_nanos(1), "a duration above zero")
}

/// How often something is reported: not more often than is worth the work.
pub(super) fn interval(text: &str) -> Parsed<Duration> {
    at_least(
        text,
        Duration::from_millis(100),
        "a duration of at least `100ms`",
    )
}

fn at_least(text: &str, least: Duration, expected: &str) -> Parsed<Duration> {
    match duration(text)? {
        duration if duration < least => {
            Err(Wrong::new(expected).hint("such as `2s`, `1m30s` or `500ms`"))
        }
        duration => Ok(duration),
    }
}

/// A wasm32 memory: from one page up to what 32 bits can address.
pub(super) fn vu_memory(text: &str) -> Parsed<u64> {
    const PAGE: u64 = 64 << 10;
    match parse_size(text) {
        Ok(size) if (PAGE..=4 << 30).contains(&size) => Ok(size),
        Ok(_) => Err(Wrong::new("a size from `64KiB` to `4GiB`").hint("such as `64MiB`")),
        Err(_) => Err(Wrong::new("a size with its unit").hint("such as `64MiB` or `512KiB`")),
    }
}

pub(super) fn base_url(text: &str) -> Parsed<String> {
    let wrong = || Wrong::new("an absolute `http` or `https` URL");
    let example = "such as `http://127.0.0.1:8080`";
    let uri: http::Uri = text.parse().map_err(|_| wrong().hint(example))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => {
            Ok(text.to_owned())
        }
        (None, Some(_)) => Err(wrong().hint(format!("did you mean `http://{text}`?"))),
        _ => Err(wrong().hint(example)),
    }
}

/// A host as it stands in a URL: in lower case, an IPv6 address in brackets.
pub(super) fn host(text: &str) -> Parsed<String> {
    let wrong = || Wrong::new("the name or address of a host");
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Ok(format!("[{}]", bare.to_ascii_lowercase()));
    }
    let inside = text.split_once("://").map_or(text, |(_, rest)| rest);
    let inside = inside.split(['/', '?', '#']).next().unwrap_or_default();
    let inside = inside.split_once(':').map_or(inside, |(host, _)| host);
    let valid = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    match (valid(text), valid(inside)) {
        (true, _) => Ok(text.to_ascii_lowercase()),
        (false, true) => Err(wrong().hint(format!(
            "without scheme, port and path: `{}`",
            inside.to_ascii_lowercase()
        ))),
        (false, false) if text.contains('*') => {
            Err(wrong().hint("patterns are not supported: name each host"))
        }
        (false, false) => Err(wrong().hint("such as `shop.example` or `127.0.0.1`")),
    }
}

/// `ADDRESS:PORT` to listen at, `localhost` being 127.0.0.1.
pub(super) fn control(text: &str) -> Parsed<SocketAddr> {
    let wrong = || Wrong::new("an address and a port to listen at");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok())
    {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    Err(match text.trim_start_matches(':').parse::<u16>() {
        Ok(port) => wrong().hint(format!("did you mean `127.0.0.1:{port}`?")),
        Err(_) => wrong().hint("such as `127.0.0.1:0`, where 0 is any port that is free"),
    })
}

/// `NAME=VALUE`. The value can be empty and contain `=`.
pub(super) fn pair(text: &str) -> Parsed<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(Wrong::new("`NAME=VALUE`").hint("such as `stage=test`")),
    }
}

pub(super) fn tag(text: &str) -> Parsed<Tag> {
    pair(text).map(|(name, value)| (name.into(), value.into()))
}

/// The name of a tag to split results by.
pub(super) fn group_by(text: &str) -> Parsed<String> {
    let name = text.trim();
    let wrong = |what: &str| Err(Wrong::new("the name of a tag").hint(what));
    let odd = |char: char| char.is_control() || matches!(char, '=' | ':' | ',' | '{' | '}' | '"');
    match name {
        "" => wrong("such as `part`, or `scenario`"),
        "name" | "method" => wrong("the summary shows requests by method and name in any case"),
        "status" | "expected_response" => {
            wrong("the summary counts answers by status, and failures, in any case")
        }
        "group" => wrong("the summary shows transactions in any case; a tag has another name"),
        "check" => wrong("the summary shows checks in any case; a tag has another name"),
        _ => match name.find(odd) {
            Some(at) if at > 0 && name[at..].starts_with(['=', ':']) => wrong(&format!(
                "the name alone, for its values are found while the run goes on: `{}`",
                name[..at].trim()
            )),
            Some(_) => wrong("the name alone, without any of `= : , { } \"`: such as `part`"),
            None => Ok(name.to_owned()),
        },
    }
}

/// One or several thresholds, or every mistake in them.
pub(super) fn thresholds(text: &str) -> Result<Vec<Threshold>, Vec<Wrong>> {
    Threshold::parse_all(text).map_err(|errors| {
        let wrong = |error: ThresholdError| Wrong {
            expected: error.expected,
            hint: error.hint,
            at: Some(error.at),
        };
        errors.into_iter().map(wrong).collect()
    })
}

/// The name of an executor.
pub(super) fn executor(text: &str) -> Parsed<&'static str> {
    Executor::NAMES
        .into_iter()
        .find(|name| *name == text)
        .ok_or_else(|| {
            let names = Executor::NAMES.map(|name| format!("`{name}`")).join(" or ");
            let wrong = Wrong::new(names);
            match nearest(text, Executor::NAMES) {
                Some(near) => wrong.hint(format!("did you mean `{near}`?")),
                None => wrong.hint("leave it out: it follows from the other flags"),
            }
        })
}

/// A level, or directives such as `squall=debug,warn`.
pub(super) fn log(text: &str) -> Parsed<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let lower = text.to_ascii_lowercase();
    let valid = LEVELS.contains(&&*lower)
        || text.contains('=') && tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
    if valid {
        return Ok(if text.contains('=') {
            text.to_owned()
        } else {
            lower
        });
    }
    let wrong = Wrong::new("`off`, `error`, `warn`, `info`, `debug` or `trace`");
    Err(match nearest(&lower, LEVELS) {
        Some(near) => wrong.hint(format!("did you mean `{near}`?")),
        None => wrong.hint("such as `info`, or for a part of the program `squall::http=debug`"),
    })
}

/// A path that is not empty.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.trim().is_empty() {
        return Err(Wrong::new("the path of a file").hint("such as `summary.json`"));
    }
    Ok(PathBuf::from(text))
}

/// A part of `--recorder`'s value, or of several of them joined by commas.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RecorderPart {
    /// A recorder.
    Named(RecorderSpec),
    /// No recorder at all.
    Nobody,
    /// `KEY=VALUE`: an option of the recorder before it.
    Option(String, String),
}

/// `FILE[,KEY=VALUE…]`: a shape, and its options.
pub(super) fn shape(text: &str) -> Parsed<(PathBuf, Vec<(String, String)>)> {
    let mut parts = text.split(',').map(str::trim);
    let path = parts
        .next()
        .filter(|path| !path.is_empty() && !path.contains('='));
    let Some(path) = path else {
        return Err(Wrong::new("the path of a component").hint("such as `./ramp.wasm,top=50`"));
    };
    let options = parts.map(|part| {
        pair(part).map_err(|_| {
            Wrong::new("`KEY=VALUE` after the path").hint("such as `./ramp.wasm,top=50`")
        })
    });
    Ok((PathBuf::from(path), options.collect::<Result<_, _>>()?))
}

pub(super) fn recorder_part(text: &str) -> Parsed<RecorderPart> {
    let named = |source| {
        Ok(RecorderPart::Named(RecorderSpec {
            source,
            sink: None,
            options: Vec::new(),
            interval: None,
        }))
    };
    match text {
        "json" => return named(RecorderSource::Json),
        "locust" => return named(RecorderSource::Locust),
        "none" => return Ok(RecorderPart::Nobody),
        _ => {}
    }
    if let Some((name, value)) = text.split_once('=')
        && !name.contains(['/', '\\'])
        && !name.is_empty()
    {
        return Ok(RecorderPart::Option(name.to_owned(), value.to_owned()));
    }
    if text.contains(['/', '\\']) || text.ends_with(".wasm") {
        return named(RecorderSource::File(PathBuf::from(text)));
    }
    let wrong = Wrong::new("`json`, `locust`, `none` or the path of a component");
    Err(match nearest(text, ["json", "locust", "none"]) {
        Some(near) => wrong.hint(format!("did you mean `{near}`?")),
        None => wrong.hint(format!("for a file of that name, write `./{text}`")),
    })
}

/// A recorder's `sink=`.
pub(super) fn sink(text: &str) -> Parsed<SinkSpec> {
    const KINDS: [&str; 5] = ["stdout", "stderr", "file:", "unix:", "tcp:"];
    let wrong = || {
        Wrong::new("`stdout`, `stderr`, `file:PATH`, `unix:PATH` or `tcp:HOST:PORT` as the sink")
    };
    if text == "stdout" || text == "stderr" {
        return Ok(match text {
            "stdout" => SinkSpec::Stdout,
            _ => SinkSpec::Stderr,
        });
    }
    let Some((kind, place)) = text.split_once(':') else {
        return Err(match nearest(text, KINDS) {
            Some("file:" | "unix:") => wrong().hint(format!("add the path: `{text}:PATH`")),
            Some("tcp:") => wrong().hint("add where: `tcp:HOST:PORT`"),
            Some(near) => wrong().hint(format!("did you mean `{near}`?")),
            None if text == "-" => wrong().hint("did you mean `stdout`?"),
            None if text.contains(['.', '/']) => {
                wrong().hint(format!("did you mean `file:{text}`?"))
            }
            None => wrong().hint("such as `sink=file:telemetry.ndjson`"),
        });
    };
    match kind {
        "file" | "unix" if place.trim().is_empty() => {
            Err(Wrong::new(format!("a path after `{kind}:`"))
                .hint(format!("such as `sink={kind}:/var/run/telemetry`")))
        }
        "file" if place == "-" => Err(wrong().hint("did you mean `stdout`?")),
        "file" => Ok(SinkSpec::file(PathBuf::from(place))),
        "unix" => Ok(SinkSpec::Unix(PathBuf::from(place))),
        "tcp" => tcp(place),
        _ => {
            let kind = format!("{}:", kind.to_ascii_lowercase());
            Err(match nearest(&kind, KINDS) {
                Some(near @ ("stdout" | "stderr")) => {
                    wrong().hint(format!("did you mean `{near}`?"))
                }
                Some(near) => wrong().hint(format!("did you mean `{near}{place}`?")),
                None => wrong().hint("such as `sink=file:telemetry.ndjson`"),
            })
        }
    }
}

/// `HOST:PORT`, an IPv6 address in brackets.
fn tcp(place: &str) -> Parsed<SinkSpec> {
    let wrong = |what: &str| Wrong::new(format!("{what} in `tcp:HOST:PORT`"));
    let bare = place.trim_start_matches('/');
    if bare != place {
        return Err(wrong("no slashes").hint(format!("did you mean `tcp:{bare}`?")));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        Some(_) => {
            return Err(wrong("brackets around an IPv6 address").hint("such as `tcp:[::1]:9000`"));
        }
        None => return Err(wrong("a port").hint(format!("such as `tcp:{place}:9000`"))),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let valid = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => self::host(host).is_ok(),
    };
    let port = port.parse().ok().filter(|port| *port > 0);
    match (valid, port) {
        (true, Some(port)) => Ok(SinkSpec::Tcp {
            host: bare.unwrap_or(host).to_owned(),
            port,
        }),
        (true, None) => {
            Err(wrong("a port from 1 to 65535").hint(format!("such as `tcp:{host}:9000`")))
        }
        (false, _) => {
            Err(wrong("the name or address of a host").hint("such as `tcp:127.0.0.1:9000`"))
        }
    }
}

/// A recorder's `rotate-size=`: not less than most lines have.
pub(super) fn rotate_size(text: &str) -> Parsed<NonZeroU64> {
    let size = parse_size(text).map_err(|_| {
        Wrong::new("a size with its unit").hint("such as `rotate-size=64MiB` or `100MB`")
    })?;
    NonZeroU64::new(size)
        .filter(|size| size.get() >= 1024)
        .ok_or_else(|| {
            Wrong::new("a size of at least `1KiB`")
                .hint("leave it out for a file that is not rotated by size")
        })
}

/// A recorder's `rotate-every=`.
pub(super) fn rotate_every(text: &str) -> Parsed<Duration> {
    at_least(text, Duration::from_secs(1), "a duration of at least `1s`")
}

/// A recorder's `keep=`.
pub(super) fn keep(text: &str) -> Parsed<NonZeroU32> {
    text.parse().map_err(|_| {
        Wrong::new("a whole number from 1").hint("leave it out to keep every rotated file")
    })
}
