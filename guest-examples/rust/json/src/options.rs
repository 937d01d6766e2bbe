//! What the user asked of the recorder: `--recorder json,key=value,…`.

use crate::squall::recorder::events::{Interests, Request};

/// The options, all with their defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    pub profile: Profile,
    pub requests: Requests,
    pub measurements: Measurements,
}

/// Under which names the wrapping of an entry goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Profile {
    /// Those of OpenTelemetry where it has any.
    #[default]
    Native,
    /// The Elastic Common Schema.
    Ecs,
    /// The attributes that Datadog reserves.
    Datadog,
    /// The fields that Google Cloud's logging agents look for.
    Gcp,
}

/// Which requests get an entry of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requests {
    all: bool,
    failed: bool,
    /// Those that took this long, in milliseconds, or longer.
    slow: Option<f64>,
}

impl Requests {
    fn any(self) -> bool {
        self.all || self.failed || self.slow.is_some()
    }

    pub fn include(self, request: &Request) -> bool {
        self.all
            || (self.failed && request.failure.is_some())
            || self.slow.is_some_and(|limit| request.duration_ms >= limit)
    }
}

/// Which other single measurements get an entry of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measurements {
    transactions: bool,
    iterations: bool,
    checks: bool,
    samples: bool,
}

impl Options {
    /// Errs with all that is wrong.
    pub fn parse(given: &[(String, String)]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut mistakes = Vec::new();
        for (number, (name, value)) in given.iter().enumerate() {
            if given[..number].iter().any(|(before, _)| before == name) {
                mistakes.push(format!(
                    "the option `{name}` is given twice\nhint: several values are joined by `+`"
                ));
                continue;
            }
            let parsed = match name.as_str() {
                "profile" => profile(value).map(|profile| options.profile = profile),
                "requests" => requests(value).map(|requests| options.requests = requests),
                "measurements" => {
                    measurements(value).map(|measurements| options.measurements = measurements)
                }
                _ => Err(format!(
                    "unknown option `{name}`\nhint: the json recorder has `profile`, `requests` \
                     and `measurements`"
                )),
            };
            mistakes.extend(parsed.err());
        }
        if mistakes.is_empty() {
            Ok(options)
        } else {
            Err(mistakes.join("\n"))
        }
    }

    /// The events to ask for.
    pub fn interests(&self) -> Interests {
        let wanted = [
            (true, Interests::STATS),
            (true, Interests::SYSTEM),
            (true, Interests::SCRIPT_ERRORS),
            (true, Interests::LOGS),
            (self.requests.any(), Interests::REQUESTS),
            (self.measurements.transactions, Interests::TRANSACTIONS),
            (self.measurements.iterations, Interests::ITERATIONS),
            (self.measurements.checks, Interests::CHECKS),
            (self.measurements.samples, Interests::SAMPLES),
        ];
        wanted
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .fold(Interests::empty(), |all, (_, interest)| all | interest)
    }
}

fn profile(value: &str) -> Result<Profile, String> {
    match value {
        "native" => Ok(Profile::Native),
        "ecs" => Ok(Profile::Ecs),
        "datadog" => Ok(Profile::Datadog),
        "gcp" => Ok(Profile::Gcp),
        _ => Err(format!(
            "`profile`: expected `native`, `ecs`, `datadog` or `gcp`, found `{value}`\n\
             hint: `ecs` suits Elasticsearch and OpenSearch, `native` what reads OpenTelemetry"
        )),
    }
}

fn requests(value: &str) -> Result<Requests, String> {
    let mut requests = Requests::default();
    match value {
        "none" => return Ok(requests),
        "all" => {
            requests.all = true;
            return Ok(requests);
        }
        _ => {}
    }
    for part in value.split('+') {
        match part.split_once(':') {
            None if part == "failed" => requests.failed = true,
            Some(("slow", limit)) => match milliseconds(limit) {
                Some(limit) => requests.slow = Some(limit),
                None => {
                    return Err(format!(
                        "`requests`: expected a duration after `slow:`, found `{limit}`\n\
                         hint: write it with its unit, such as `slow:500ms` or `slow:1.5s`"
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "`requests`: expected `none`, `failed`, `slow:500ms` or `all`, found `{part}`\n\
                     hint: `failed+slow:500ms` records both"
                ));
            }
        }
    }
    Ok(requests)
}

fn measurements(value: &str) -> Result<Measurements, String> {
    let mut measurements = Measurements::default();
    if value == "none" {
        return Ok(measurements);
    }
    for part in value.split('+') {
        match part {
            "transactions" => measurements.transactions = true,
            "iterations" => measurements.iterations = true,
            "checks" => measurements.checks = true,
            "samples" => measurements.samples = true,
            _ => {
                return Err(format!(
                    "`measurements`: expected `none`, `transactions`, `iterations`, `checks` or \
                     `samples`, found `{part}`\n\
                     hint: several are joined by `+`, such as `checks+samples`; requests have an \
                     option of their own"
                ));
            }
        }
    }
    Ok(measurements)
}

/// A duration as the host takes it: numbers with the units `h`, `m`, `s`, `ms`,
/// `us`, larger ones first.
fn milliseconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 5] = [
        ("h", 3_600_000.0),
        ("m", 60_000.0),
        ("s", 1_000.0),
        ("ms", 1.0),
        ("us", 1e-3),
    ];
    if text == "0" {
        return Some(0.0);
    }
    let (mut sum, mut smallest, mut rest) = (0.0, f64::INFINITY, text);
    while !rest.is_empty() {
        let end = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let end = tail
            .find(|sign: char| !sign.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &tail[..end])?;
        if *size >= smallest {
            return None;
        }
        (sum, smallest, rest) = (sum + number * size, *size, &tail[end..]);
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[(&str, &str)]) -> Result<Options, String> {
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Options::parse(&given)
    }

    fn requests(value: &str) -> Result<Requests, String> {
        parse(&[("requests", value)]).map(|options| options.requests)
    }

    #[test]
    fn without_options_no_single_measurement_is_asked_for() {
        let options = parse(&[]).expect("nothing is wrong");
        assert_eq!(options, Options::default());
        assert_eq!(
            options.interests(),
            Interests::STATS | Interests::SYSTEM | Interests::SCRIPT_ERRORS | Interests::LOGS
        );
        let said = [
            ("profile", "native"),
            ("requests", "none"),
            ("measurements", "none"),
        ];
        assert_eq!(parse(&said), Ok(options));
    }

    #[test]
    fn what_is_asked_for_is_delivered_and_nothing_else() {
        let all = Options::default().interests()
            | Interests::REQUESTS
            | Interests::TRANSACTIONS
            | Interests::ITERATIONS
            | Interests::CHECKS
            | Interests::SAMPLES;
        let options = parse(&[
            ("requests", "slow:1s"),
            ("measurements", "transactions+iterations+checks+samples"),
        ]);
        assert_eq!(options.map(|options| options.interests()), Ok(all));
        for (kind, interest) in [
            ("transactions", Interests::TRANSACTIONS),
            ("iterations", Interests::ITERATIONS),
            ("checks", Interests::CHECKS),
            ("samples", Interests::SAMPLES),
        ] {
            let options = parse(&[("measurements", kind)]).expect("it is a kind");
            assert_eq!(
                options.interests(),
                Options::default().interests() | interest
            );
        }
    }

    #[test]
    fn requests_are_chosen_by_failure_and_by_time() {
        let nothing = Requests::default();
        assert_eq!(
            requests("all"),
            Ok(Requests {
                all: true,
                ..nothing
            })
        );
        let failed = Requests {
            failed: true,
            ..nothing
        };
        assert_eq!(requests("failed"), Ok(failed));
        for (limit, ms) in [
            ("500ms", 500.0),
            ("1.5s", 1_500.0),
            ("1m30s", 90_000.0),
            ("1h", 3_600_000.0),
            ("250us", 0.25),
            ("0", 0.0),
        ] {
            let slow = Requests {
                slow: Some(ms),
                ..failed
            };
            assert_eq!(requests(&format!("slow:{limit}+failed")), Ok(slow));
        }
    }

    #[test]
    fn wrong_values_are_refused_with_a_way_out() {
        for (name, value) in [
            ("profile", ""),
            ("profile", "ECS"),
            ("requests", ""),
            ("requests", "slow"),
            ("requests", "slow:"),
            ("requests", "slow:500"),
            ("requests", "slow:s"),
            ("requests", "slow:1s2m"),
            ("requests", "slow:-1s"),
            ("requests", "slow:1x"),
            ("requests", "all+failed"),
            ("requests", "failed,"),
            ("measurements", ""),
            ("measurements", "requests"),
            ("measurements", "none+checks"),
            ("colour", "red"),
        ] {
            let mistake = parse(&[(name, value)]).expect_err("it is wrong");
            let (what, hint) = mistake.split_once("\nhint: ").expect("it has a hint");
            assert!(what.contains(&format!("`{name}`")), "{what}");
            assert!(!what.contains('\n') && !hint.contains('\n'), "{mistake}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mistakes = parse(&[
            ("profile", "splunk"),
            ("requests", "slow:fast"),
            ("profile", "ecs"),
            ("color", "red"),
        ])
        .expect_err("four are wrong");
        let told: Vec<_> = mistakes
            .lines()
            .filter(|line| !line.starts_with("hint: "))
            .collect();
        assert_eq!(
            told,
            [
                "`profile`: expected `native`, `ecs`, `datadog` or `gcp`, found `splunk`",
                "`requests`: expected a duration after `slow:`, found `fast`",
                "the option `profile` is given twice",
                "unknown option `color`",
            ]
        );
        assert_eq!(mistakes.lines().count(), 8);
    }
}
