//! `squall ctl`: looks at a run that is going on, and steers it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::{CtlArgs, CtlVerb, Which};
use crate::control::{Answer, Listening, Token, call, listening};
use crate::error::{Error, ExitCode, Problem};

/// Where the token is found that a user chose.
pub(super) const TOKEN_VARIABLE: &str = "SQUALL_CONTROL_TOKEN";

/// Calls the control API of a run.
///
/// # Errors
///
/// If there is no such run, or it refuses.
pub(super) fn ctl(args: CtlArgs) -> Result<ExitCode, Error> {
    let CtlArgs { verb, at, json } = args;
    let Run { addresses, token } = find(at.as_deref())?;
    let (method, path, body) = request(&verb);
    let address = addresses[0];
    let answer =
        call(&addresses, &token, method, path, &body).map_err(|error| nobody(address, &error))?;
    if answer.status != 200 {
        return Err(refused(address, &answer));
    }
    let text = match json {
        true => format!("{:#}\n", answer.body),
        false => told(&verb, &answer.body, address),
    };
    // A reader that has gone away is no reason to complain.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::Passed)
}

/// Where this user's runs leave their notices: `$XDG_RUNTIME_DIR/squall`, else in
/// the folder for caches.
pub(super) fn folder() -> Option<PathBuf> {
    let folder = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    folder("XDG_RUNTIME_DIR")
        .map(|path| path.join("squall"))
        .or_else(|| folder("XDG_CACHE_HOME").map(|path| path.join("squall/control")))
        .or_else(|| folder("HOME").map(|path| path.join(".cache/squall/control")))
}

/// The token in the environment, if there is one.
pub(super) fn chosen_token() -> Result<Option<Token>, Error> {
    match std::env::var_os(TOKEN_VARIABLE) {
        Some(text) if !text.is_empty() => Token::chosen(&text.to_string_lossy()).map(Some),
        _ => Ok(None),
    }
}

/// A run to call.
struct Run {
    /// What a name came to; at least one.
    addresses: Vec<SocketAddr>,
    token: Token,
}

/// The run at an address, or the only one.
fn find(at: Option<&str>) -> Result<Run, Error> {
    let chosen = chosen_token()?;
    let mut runs = folder()
        .map(|folder| listening(&folder))
        .unwrap_or_default();
    let at = at.map(addresses).transpose()?;
    if let Some(at) = &at {
        runs.retain(|run| at.iter().any(|at| run.is_at(*at)));
    }
    match (&runs[..], at) {
        ([run], _) => {
            let token = run.token.clone().or(chosen);
            Ok(Run {
                addresses: vec![run.address],
                token: token.ok_or_else(|| no_token(run.address))?,
            })
        }
        // It may be on another machine, or another user's.
        (_, Some(addresses)) => {
            let token = chosen.ok_or_else(|| no_token(addresses[0]))?;
            Ok(Run { addresses, token })
        }
        ([], None) => Err(Error::Control(
            Problem::new("no run of yours listens on this machine").hint(
                "start one with `squall run … --control 127.0.0.1:0`, or say where it is: \
                 `--at HOST:PORT`",
            ),
        )),
        (several, None) => {
            let mut what = format!("{} runs listen on this machine", several.len());
            for Listening {
                pid,
                address,
                test_plan,
                ..
            } in several
            {
                let _ = write!(what, "\n  {address}  {} (process {pid})", plain(test_plan));
            }
            let hint = format!("say which: `--at {}`", several[0].address);
            Err(Error::Control(Problem::new(what).hint(hint)))
        }
    }
}

fn addresses(text: &str) -> Result<Vec<SocketAddr>, Error> {
    let bare = text.strip_prefix("http://").unwrap_or(text);
    let bare = bare.trim_end_matches('/');
    let found: Vec<_> = bare.to_socket_addrs().into_iter().flatten().collect();
    Some(found)
        .filter(|found| !found.is_empty())
        .ok_or_else(|| {
            Error::Config(vec![
                Problem::new(format!(
                    "`--at`: expected the address and port of a control API, found `{text}`"
                ))
                .hint("such as `127.0.0.1:6789`; the run told it on its stderr"),
            ])
        })
}

fn request(verb: &CtlVerb) -> (&'static str, &'static str, Value) {
    let about = |Which { scenario }: &Which, target: Option<(&str, &str)>| {
        let scenario = scenario.as_deref().map(|name| ("scenario", name));
        let pairs = scenario.into_iter().chain(target);
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.into()));
        Value::Object(pairs.collect())
    };
    match verb {
        CtlVerb::Status => ("GET", "/v1/status", Value::Null),
        CtlVerb::Stats => ("GET", "/v1/stats", Value::Null),
        CtlVerb::Thresholds => ("GET", "/v1/thresholds", Value::Null),
        CtlVerb::Vus { number, which } => {
            ("PATCH", "/v1/load", about(which, Some(("vus", number))))
        }
        CtlVerb::Rate { rate, which } => ("PATCH", "/v1/load", about(which, Some(("rate", rate)))),
        CtlVerb::Pause(which) => ("POST", "/v1/pause", about(which, None)),
        CtlVerb::Resume(which) => ("POST", "/v1/resume", about(which, None)),
        CtlVerb::Stop { now } => ("POST", "/v1/stop", json!({ "now": now })),
    }
}

fn no_token(address: SocketAddr) -> Error {
    Error::Control(
        Problem::new(format!(
            "the token of the run at {address} is not known here"
        ))
        .hint(format!(
            "set `{TOKEN_VARIABLE}` to the one that the run was given"
        )),
    )
}

fn nobody(address: SocketAddr, error: &io::Error) -> Error {
    let (what, hint) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            format!("nobody listens at {address}"),
            "the run may be over; `squall ctl status` finds those on this machine",
        ),
        io::ErrorKind::InvalidData => (
            format!("{address}: {error}"),
            "take the address that the run told on its stderr",
        ),
        _ => (
            format!("the run at {address} does not answer: {error}"),
            "the run may have ended; try again otherwise",
        ),
    };
    Error::Control(Problem::new(what).hint(hint))
}

fn refused(address: SocketAddr, answer: &Answer) -> Error {
    if answer.status == 401 {
        let what = format!("the run at {address} does not take this token");
        let hint = format!("set `{TOKEN_VARIABLE}` to the one that the run was given");
        return Error::Control(Problem::new(what).hint(hint));
    }
    let of = |key: &str| answer.body["error"][key].as_str().map(plain);
    let what = of("message").unwrap_or_else(|| format!("the run refused: {}", answer.status));
    Error::Control(Problem {
        what,
        hint: of("hint"),
    })
}

/// An answer in words.
fn told(verb: &CtlVerb, body: &Value, address: SocketAddr) -> String {
    match verb {
        CtlVerb::Status => status(body, address),
        CtlVerb::Stats => stats(body),
        CtlVerb::Thresholds => thresholds(body),
        CtlVerb::Stop { now: false } => {
            "stopping: iterations under way may end; `--now` cuts them\n".to_owned()
        }
        CtlVerb::Stop { now: true } => "stopping at once\n".to_owned(),
        CtlVerb::Vus { .. } | CtlVerb::Rate { .. } | CtlVerb::Pause(_) | CtlVerb::Resume(_) => {
            changes(body)
        }
    }
}

fn changes(body: &Value) -> String {
    let changes = body["changes"].as_array().map_or(&[][..], Vec::as_slice);
    if changes.is_empty() {
        return "nothing to change: it is so already\n".to_owned();
    }
    let mut text = String::new();
    for change in changes {
        let scenario = words(&change["scenario"]);
        let _ = match change["action"].as_str() {
            Some("paused") => writeln!(text, "{scenario}: paused"),
            Some("resumed") => writeln!(text, "{scenario}: resumed, {}", load(&change["to"])),
            _ => {
                let (from, to) = (load(&change["from"]), load(&change["to"]));
                writeln!(text, "{scenario}: {from} → {to}")
            }
        };
    }
    text
}

fn status(body: &Value, address: SocketAddr) -> String {
    let of = match &body["planned_ms"] {
        // Only its shape ends it.
        Value::Null => String::new(),
        planned => format!(" of {}", clock(planned)),
    };
    let mut text = format!(
        "{}, {} for {}{of} ({address})\n",
        words(&body["test_plan"]),
        words(&body["phase"]),
        clock(&body["elapsed_ms"]),
    );
    let rows = body["scenarios"].as_array().map_or(&[][..], Vec::as_slice);
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let vus = row["vus"].as_u64().unwrap_or(0);
            let target = &row["target"];
            let now = match target["vus"].as_u64() {
                Some(wanted) if wanted == vus => load(target),
                Some(_) => format!("{vus} of {}", load(target)),
                None => format!("{}, {}", load(target), load(&json!({ "vus": vus }))),
            };
            let paused = row["paused"] == true;
            [
                words(&row["name"]),
                words(&row["executor"]),
                now,
                if paused { "paused" } else { "" }.to_owned(),
            ]
        })
        .collect();
    text += &table(&cells, 0);
    text
}

fn stats(body: &Value) -> String {
    let mut text = String::new();
    for (key, title) in [("interval", "last"), ("total", "all")] {
        let window = &body[key];
        let _ = writeln!(
            text,
            "{title} {}, {} VUs",
            clock(&window["duration_ms"]),
            body["vus"]
        );
        let head = [
            "", "requests", "failed", "per s", "p50 ms", "p95 ms", "p99 ms",
        ];
        let mut cells = vec![head.map(str::to_owned)];
        let named = window["requests"].as_array().map_or(&[][..], Vec::as_slice);
        for row in std::iter::once(&window["all"]).chain(named) {
            let name = format!("{} {}", words(&row["method"]), words(&row["name"]));
            let name = match name.trim() {
                "" => "all".to_owned(),
                name => name.to_owned(),
            };
            let one_digit = |key: &str| format!("{:.1}", row[key].as_f64().unwrap_or(0.0));
            cells.push([
                name,
                row["requests"].to_string(),
                row["failures"].to_string(),
                one_digit("requests_per_s"),
                one_digit("p50_ms"),
                one_digit("p95_ms"),
                one_digit("p99_ms"),
            ]);
        }
        text += &table(&cells, 6);
    }
    text
}

fn thresholds(body: &Value) -> String {
    let rows = body["thresholds"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "no thresholds, or none was judged yet\n".to_owned();
    }
    let cells: Vec<[String; 3]> = rows
        .iter()
        .map(|row| {
            let holds = row["passed"] == true;
            [
                if holds { "✓" } else { "✗" }.to_owned(),
                words(&row["expression"]),
                row["value"].as_f64().map_or_else(
                    || "nothing measured".to_owned(),
                    |value| format!("{:.3}", value),
                ),
            ]
        })
        .collect();
    table(&cells, 0)
}

/// Columns two spaces apart, the last `right` of them flush right.
fn table<const N: usize>(rows: &[[String; N]], right: usize) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match column + right >= N {
                true => write!(line, "  {cell:>width$}"),
                false => write!(line, "  {cell:<width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn load(load: &Value) -> String {
    match (load["vus"].as_u64(), load["rate_per_s"].as_f64()) {
        (Some(1), _) => "1 VU".to_owned(),
        (Some(vus), _) => format!("{vus} VUs"),
        (None, Some(rate)) => format!("{rate}/s"),
        (None, None) => "?".to_owned(),
    }
}

/// A text of somebody else's, for a terminal.
fn words(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

fn plain(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).collect()
}

/// Milliseconds as `01:05`.
fn clock(ms: &Value) -> String {
    let seconds = (ms.as_f64().unwrap_or(0.0) / 1e3).round() as u64;
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_a_line_for_each_scenario() {
        let body = json!({
            "test_plan": "shop\u{1b}[2J", "phase": "running",
            "elapsed_ms": 42_400.0, "planned_ms": 300_000.0,
            "scenarios": [
                {"name": "browse", "executor": "ramping-vus", "vus": 48,
                 "target": {"vus": 50}, "paused": false},
                {"name": "buy", "executor": "constant-arrival-rate", "vus": 1,
                 "target": {"rate_per_s": 12.5}, "paused": true},
            ],
        });
        let address = ([127, 0, 0, 1], 6789).into();
        assert_eq!(
            status(&body, address),
            "shop[2J, running for 00:42 of 05:00 (127.0.0.1:6789)\n  \
             browse  ramping-vus            48 of 50 VUs\n  \
             buy     constant-arrival-rate  12.5/s, 1 VU  paused\n"
        );
    }

    #[test]
    fn a_change_is_told_as_from_and_to() {
        let change = |action: &str, to: Value| {
            json!({"changes": [
                {"scenario": "s", "action": action, "from": {"vus": 1}, "to": to}
            ]})
        };
        let target = change("target", json!({"vus": 50}));
        assert_eq!(changes(&target), "s: 1 VU → 50 VUs\n");
        let paused = change("paused", json!({"vus": 0}));
        assert_eq!(changes(&paused), "s: paused\n");
        let resumed = change("resumed", json!({"rate_per_s": 2.5}));
        assert_eq!(changes(&resumed), "s: resumed, 2.5/s\n");
        assert!(changes(&json!({"changes": []})).starts_with("nothing"));
    }

    #[test]
    fn an_address_may_be_written_as_a_url() {
        for text in ["127.0.0.1:6789", "http://127.0.0.1:6789/"] {
            let found = addresses(text).map_err(|error| error.to_string());
            assert_eq!(found, Ok(vec![([127, 0, 0, 1], 6789).into()]), "{text}");
        }
        for text in ["", "6789", "127.0.0.1", "https://127.0.0.1:6789/"] {
            assert!(addresses(text).is_err(), "{text}");
        }
    }
}
