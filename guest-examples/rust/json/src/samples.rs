//! The entries of the single measurements, which are written only on demand:
//! there may be thousands of them a second. What is the same in all entries of a
//! kind is written in as few pieces as can be.

use crate::envelope::{Entries, Level, Name, SHORTEST_LIMIT, tags};
use crate::line::{Known, Line, Text};
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
    phrases: [Phrases; PLACES],
}

/// How many measurements that differ are remembered: more make room for each other.
const PLACES: usize = 16;

/// What is the same in all measurements of one request, or of one check.
#[derive(Debug, Default)]
struct Phrases {
    /// Which: the places of its texts, and other numbers.
    of: [u32; 6],
    /// Written when it comes for the second time. `None` as well if they cannot be
    /// written without a look at the line that they go to.
    written: Option<[String; 3]>,
}

impl Phrases {
    /// Writes the beginning of the message and two members, if all of it stands for
    /// itself and fits any line.
    fn write(
        message: impl Fn(&mut Text<'_>),
        before: impl Fn(&mut Line),
        behind: impl Fn(&mut Line),
    ) -> Option<[String; 3]> {
        let written = |write: &dyn Fn(&mut Line)| {
            let mut line = Line::new(SHORTEST_LIMIT);
            write(&mut line);
            (!line.truncated()).then(|| line.text().to_owned())
        };
        let message = written(&|line| line.unquoted(&message))?;
        Known::from(&*message).is_plain().then_some(())?;
        Some([message, written(&before)?, written(&behind)?])
    }
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
            phrases: Default::default(),
        }
    }

    /// What was written for this measurement, if it came before: the beginning of its
    /// message, and what comes before and behind the numbers of its VU and iteration.
    fn phrases(
        &mut self,
        of: [u32; 6],
        message: impl Fn(&mut Text<'_>),
        before: impl Fn(&mut Line),
        behind: impl Fn(&mut Line),
    ) -> Option<&[String; 3]> {
        let place = of.iter().fold(0, |sum: u32, part| sum.wrapping_add(*part));
        let phrases = &mut self.phrases[place as usize % PLACES];
        if phrases.of != of {
            *phrases = Phrases { of, written: None };
            return None;
        }
        if phrases.written.is_none() {
            phrases.written = Phrases::write(message, before, behind);
        }
        phrases.written.as_ref()
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

pub fn request(to: &mut Entries<'_>, of: &mut Tables<'_>, request: &Request) {
    let (method, name) = (of.text(request.method), of.text(request.name));
    let (url, scenario) = (of.text(request.url), of.text(request.scenario));
    let failure = of.known(request.failure);
    let tag_set = of.tags(request.tags);
    let begin = |text: &mut Text<'_>| {
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
    };
    let before = |line: &mut Line| {
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
            guest(line, "}", scenario);
        } else {
            guest(line, "\"}", scenario);
        }
    };
    let key = [
        request.method,
        request.name,
        request.url,
        request.scenario,
        request.status.into(),
        request.failure.map_or(0, |failure| failure + 1),
    ];
    let phrases = of.phrases(key, begin, before, |_| {});
    to.add(
        level(failure.is_some()),
        Name::RequestSample,
        |text| {
            match phrases {
                Some([message, ..]) => text.known(Known::plain(message)),
                None => begin(text),
            }
            text.ms(request.duration_ms);
            Ok(())
        },
        |members| {
            let line = members.line();
            match phrases {
                Some([_, written, _]) => line.raw(written),
                None => before(line),
            }
            who(line, request.vu, request.iteration);
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
            tags(members, tag_set);
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
            guest(line, "", scenario);
            who(line, transaction.vu, transaction.iteration);
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
            guest(line, "", scenario);
            who(line, *vu, *number);
            line.raw(r#"},"iteration":{"#);
            if iteration.duration_ms.is_finite() {
                measure(line, r#""duration_ms":"#, Some(iteration.duration_ms));
                line.raw(",");
            }
            failed(line, failure);
        },
    );
}

pub fn check(to: &mut Entries<'_>, of: &mut Tables<'_>, check: &Check) {
    let (name, scenario) = (of.text(check.name), of.text(check.scenario));
    let tag_set = of.tags(check.tags);
    let message = |text: &mut Text<'_>| {
        text.plain("check ");
        text.known(name);
        text.plain(if check.passed { " holds" } else { " fails" });
    };
    let before = |line: &mut Line| guest(line, "", scenario);
    let behind = |line: &mut Line| {
        line.raw(r#"},"check":{"name":""#);
        line.inside(name);
        match check.passed {
            true => line.raw(r#"","passed":true}"#),
            false => line.raw(r#"","passed":false}"#),
        }
    };
    // No request has this status.
    let key = [
        check.name,
        check.scenario,
        check.passed.into(),
        0,
        u32::MAX,
        0,
    ];
    let phrases = of.phrases(key, message, before, behind);
    to.add(
        level(!check.passed),
        Name::CheckSample,
        |text| {
            match phrases {
                Some([written, ..]) => text.known(Known::plain(written)),
                None => message(text),
            }
            Ok(())
        },
        |members| {
            let line = members.line();
            match phrases {
                Some([_, written, _]) => line.raw(written),
                None => before(line),
            }
            who(line, check.vu, check.iteration);
            match phrases {
                Some([_, _, written]) => line.raw(written),
                None => behind(line),
            }
            tags(members, tag_set);
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

/// Which scenario the measurement was made in, behind what comes `before`: an object,
/// up to the number of the VU.
#[inline(always)]
fn guest(line: &mut Line, before: &str, scenario: Known<'_>) {
    line.raw(before);
    line.raw(r#","guest":{"scenario":""#);
    line.inside(scenario);
    line.raw(r#"","vu":"#);
}

/// Which VU made it, and in which iteration. The object's end is left to what comes
/// behind it.
#[inline(always)]
fn who(line: &mut Line, vu: u32, iteration: u32) {
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
