//! The entries of the single measurements, which are written only on demand:
//! there may be thousands of them a second. What is the same in all entries of a
//! kind is written in as few pieces as can be.

use crate::envelope::{Entries, Level, Name, tags};
use crate::line::{Known, Line};
use crate::squall::recorder::events::{
    Check, Iteration, Measurements, OtherEvent, OtherMeasurement, Request, Sample, Tag, Transaction,
};
use crate::stats::kind_name;

/// What is said of what did not fail.
const DONE: Known<'_> = Known::plain("done");

/// What measurements call by their places.
#[derive(Debug)]
pub struct Tables<'a> {
    texts: Vec<Known<'a>>,
    tag_sets: &'a [Vec<Tag>],
}

impl<'a> Tables<'a> {
    pub fn of(measurements: &'a Measurements) -> Self {
        Self {
            texts: measurements
                .texts
                .iter()
                .map(|text| text.as_str().into())
                .collect(),
            tag_sets: &measurements.tag_sets,
        }
    }

    fn text(&self, place: u32) -> Known<'a> {
        self.texts.get(place as usize).copied().unwrap_or_default()
    }

    fn known(&self, place: Option<u32>) -> Option<Known<'a>> {
        place.map(|place| self.text(place))
    }

    fn tags(&self, place: u32) -> &'a [Tag] {
        self.tag_sets.get(place as usize).map_or(&[], Vec::as_slice)
    }
}

pub fn request(to: &mut Entries<'_>, of: &Tables<'_>, request: &Request) {
    let (method, name) = (of.text(request.method), of.text(request.name));
    let (url, scenario) = (of.text(request.url), of.text(request.scenario));
    let failure = of.known(request.failure);
    to.add(
        level(failure.is_some()),
        Name::RequestSample,
        |text| {
            text.known(method);
            text.plain(" ");
            text.known(name);
            text.plain(": ");
            match (failure, request.status) {
                (Some(failure), _) => text.known(failure),
                (None, 0) => text.plain("no response"),
                (None, status) => text.count(status.into()),
            }
            text.plain(" after ");
            text.ms(request.duration_ms);
            Ok(())
        },
        |members| {
            let line = members.line();
            line.raw(r#","http":{"request":{"method":""#);
            line.inside(method);
            if request.status > 0 {
                line.raw(r#""},"response":{"status_code":"#);
                line.count(request.status.into());
                line.raw(r#"},"route":""#);
            } else {
                line.raw(r#""},"route":""#);
            }
            line.inside(name);
            if !url.text().is_empty() {
                line.raw(r#""},"url":{"full":"#);
                line.url(url);
                guest(line, "}", scenario, request.vu, request.iteration);
            } else {
                guest(line, "\"}", scenario, request.vu, request.iteration);
            }
            line.raw(r#"},"request":{"started":""#);
            line.unquoted_time(request.started_at_ms);
            line.raw("\"");
            measure(line, r#","duration_ms":"#, Some(request.duration_ms));
            measure(line, r#","first_byte_ms":"#, request.first_byte_ms);
            let phases = &request.phases;
            measure(line, r#","connecting_ms":"#, phases.connecting_ms);
            measure(line, r#","tls_ms":"#, phases.tls_ms);
            measure(line, r#","waiting_ms":"#, phases.waiting_ms);
            measure(line, r#","receiving_ms":"#, phases.receiving_ms);
            line.raw(r#","bytes_sent":"#);
            line.count(request.sent_bytes);
            line.raw(r#","bytes_received":"#);
            line.count(request.received_bytes);
            line.raw(",");
            failed(line, failure);
            tags(members, of.tags(request.tags));
        },
    );
}

pub fn transaction(to: &mut Entries<'_>, of: &Tables<'_>, transaction: &Transaction) {
    let (name, scenario) = (of.text(transaction.name), of.text(transaction.scenario));
    let failure = of.known(transaction.failure);
    to.add(
        level(failure.is_some()),
        Name::TransactionSample,
        |text| {
            text.known(name);
            text.plain(": ");
            text.known(failure.unwrap_or(DONE));
            text.plain(" after ");
            text.ms(transaction.duration_ms);
            Ok(())
        },
        |members| {
            let line = members.line();
            guest(line, "", scenario, transaction.vu, transaction.iteration);
            line.raw(r#"},"transaction":{"name":""#);
            line.inside(name);
            line.raw("\"");
            measure(line, r#","duration_ms":"#, Some(transaction.duration_ms));
            line.raw(",");
            failed(line, failure);
            tags(members, of.tags(transaction.tags));
        },
    );
}

pub fn iteration(to: &mut Entries<'_>, of: &Tables<'_>, iteration: &Iteration) {
    let scenario = of.text(iteration.scenario);
    let failure = of.known(iteration.failure);
    let Iteration {
        vu,
        iteration: number,
        ..
    } = iteration;
    to.add(
        level(failure.is_some()),
        Name::IterationSample,
        |text| {
            text.plain("VU ");
            text.count((*vu).into());
            text.plain(", iteration ");
            text.count((*number).into());
            text.plain(": ");
            text.known(failure.unwrap_or(DONE));
            text.plain(" after ");
            text.ms(iteration.duration_ms);
            Ok(())
        },
        |members| {
            let line = members.line();
            guest(line, "", scenario, *vu, *number);
            line.raw(r#"},"iteration":{"#);
            if iteration.duration_ms.is_finite() {
                measure(line, r#""duration_ms":"#, Some(iteration.duration_ms));
                line.raw(",");
            }
            failed(line, failure);
        },
    );
}

pub fn check(to: &mut Entries<'_>, of: &Tables<'_>, check: &Check) {
    let (name, scenario) = (of.text(check.name), of.text(check.scenario));
    to.add(
        level(!check.passed),
        Name::CheckSample,
        |text| {
            text.plain("check ");
            text.known(name);
            text.plain(if check.passed { " holds" } else { " fails" });
            Ok(())
        },
        |members| {
            let line = members.line();
            guest(line, "", scenario, check.vu, check.iteration);
            line.raw(r#"},"check":{"name":""#);
            line.inside(name);
            match check.passed {
                true => line.raw(r#"","passed":true}"#),
                false => line.raw(r#"","passed":false}"#),
            }
            tags(members, of.tags(check.tags));
        },
    );
}

pub fn sample(to: &mut Entries<'_>, of: &Tables<'_>, sample: &Sample) {
    let metric = of.text(sample.metric);
    let kind = kind_name(sample.kind);
    to.add(
        Level::Info,
        Name::MetricSample,
        |text| {
            text.plain(kind);
            text.plain(" ");
            text.known(metric);
            text.plain(": ");
            text.number(sample.value);
            Ok(())
        },
        |members| {
            let line = members.line();
            line.raw(r#","metric":{"name":"#);
            line.known(metric);
            line.raw(r#","kind":"#);
            line.text_value(kind);
            if sample.value.is_finite() {
                line.raw(r#","value":"#);
                line.exact(sample.value);
            }
            line.raw("}");
            tags(members, of.tags(sample.tags));
        },
    );
}

/// What a newer host measures, as an event of its own.
pub fn other(of: &Tables<'_>, other: &OtherMeasurement) -> OtherEvent {
    OtherEvent {
        name: of.text(other.name).text().to_owned(),
        payload: of.text(other.payload).text().to_owned(),
    }
}

fn level(failed: bool) -> Level {
    if failed { Level::Warn } else { Level::Info }
}

/// Which VU of which scenario made the measurement, and in which iteration, behind
/// what comes `before`. The object's end is left to what comes behind it.
#[inline(always)]
fn guest(line: &mut Line, before: &str, scenario: Known<'_>, vu: u32, iteration: u32) {
    line.raw(before);
    line.raw(r#","guest":{"scenario":""#);
    line.inside(scenario);
    line.raw(r#"","vu":"#);
    line.count(vu.into());
    line.raw(r#","iteration":"#);
    line.count(iteration.into());
}

/// A number that measures, if it is known and finite, behind its key.
#[inline(always)]
fn measure(line: &mut Line, key: &str, value: Option<f64>) {
    if let Some(value) = value.filter(|value| value.is_finite()) {
        line.raw(key);
        line.measure(value);
    }
}

/// Whether it failed, which is the last member of its object, and why.
fn failed(line: &mut Line, failure: Option<Known<'_>>) {
    match failure {
        Some(_) => line.raw(r#""failed":true}"#),
        None => line.raw(r#""failed":false}"#),
    }
    if let Some(failure) = failure.filter(|failure| !failure.text().is_empty()) {
        line.raw(r#","error":{"message":"#);
        line.known(failure);
        line.raw("}");
    }
}
