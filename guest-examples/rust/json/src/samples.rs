//! The entries of the single measurements, which are written only on demand:
//! there may be thousands of them a second.

use crate::envelope::{Entries, Level, Name, tags};
use crate::line::Object;
use crate::squall::recorder::events::{Check, Iteration, Request, Sample, Transaction};
use crate::stats::kind_name;

pub fn request(to: &mut Entries<'_>, request: &Request) {
    to.add(
        level(request.failure.is_some()),
        Name::RequestSample,
        |text| {
            text.push(&request.method);
            text.push(" ");
            text.push(&request.name);
            text.push(": ");
            match (&request.failure, request.status) {
                (Some(failure), _) => text.push(failure),
                (None, 0) => text.push("no response"),
                (None, status) => text.count(status.into()),
            }
            text.push(" after ");
            text.ms(request.duration_ms);
            Ok(())
        },
        |line| {
            line.object("http", |http| {
                http.object("request", |it| it.text("method", &request.method));
                if request.status > 0 {
                    http.object("response", |it| {
                        it.count("status_code", request.status.into());
                    });
                }
                http.text("route", &request.name);
            });
            line.object("url", |url| url.url("full", &request.url));
            guest(line, &request.scenario, request.vu, Some(request.iteration));
            line.object("request", |it| {
                it.time("started", request.started_at_ms);
                it.measure("duration_ms", request.duration_ms);
                it.known("first_byte_ms", request.first_byte_ms);
                let phases = &request.phases;
                it.known("connecting_ms", phases.connecting_ms);
                it.known("tls_ms", phases.tls_ms);
                it.known("waiting_ms", phases.waiting_ms);
                it.known("receiving_ms", phases.receiving_ms);
                it.count("bytes_sent", request.sent_bytes);
                it.count("bytes_received", request.received_bytes);
                it.flag("failed", request.failure.is_some());
            });
            error(line, request.failure.as_deref());
            tags(line, &request.tags);
        },
    );
}

pub fn transaction(to: &mut Entries<'_>, transaction: &Transaction) {
    to.add(
        level(transaction.failure.is_some()),
        Name::TransactionSample,
        |text| {
            text.push(&transaction.name);
            text.push(": ");
            text.push(transaction.failure.as_deref().unwrap_or("done"));
            text.push(" after ");
            text.ms(transaction.duration_ms);
            Ok(())
        },
        |line| {
            guest(line, &transaction.scenario, transaction.vu, None);
            line.object("transaction", |it| {
                it.text("name", &transaction.name);
                it.measure("duration_ms", transaction.duration_ms);
                it.flag("failed", transaction.failure.is_some());
            });
            error(line, transaction.failure.as_deref());
            tags(line, &transaction.tags);
        },
    );
}

pub fn iteration(to: &mut Entries<'_>, iteration: &Iteration) {
    let Iteration {
        vu,
        iteration: number,
        ..
    } = iteration;
    to.add(
        level(iteration.failure.is_some()),
        Name::IterationSample,
        |text| {
            text.push("VU ");
            text.count((*vu).into());
            text.push(", iteration ");
            text.count((*number).into());
            text.push(": ");
            text.push(iteration.failure.as_deref().unwrap_or("done"));
            text.push(" after ");
            text.ms(iteration.duration_ms);
            Ok(())
        },
        |line| {
            guest(line, &iteration.scenario, *vu, Some(*number));
            line.object("iteration", |it| {
                it.measure("duration_ms", iteration.duration_ms);
                it.flag("failed", iteration.failure.is_some());
            });
            error(line, iteration.failure.as_deref());
        },
    );
}

pub fn check(to: &mut Entries<'_>, check: &Check) {
    to.add(
        level(!check.passed),
        Name::CheckSample,
        |text| {
            text.push("check ");
            text.push(&check.name);
            text.push(if check.passed { " holds" } else { " fails" });
            Ok(())
        },
        |line| {
            guest(line, &check.scenario, check.vu, None);
            line.object("check", |it| {
                it.text("name", &check.name);
                it.flag("passed", check.passed);
            });
            tags(line, &check.tags);
        },
    );
}

pub fn sample(to: &mut Entries<'_>, sample: &Sample) {
    let kind = kind_name(sample.kind);
    to.add(
        Level::Info,
        Name::MetricSample,
        |text| {
            text.push(kind);
            text.push(" ");
            text.push(&sample.metric);
            text.push(": ");
            text.number(sample.value);
            Ok(())
        },
        |line| {
            line.object("metric", |it| {
                it.text("name", &sample.metric);
                it.text("kind", kind);
                it.exact("value", sample.value);
            });
            tags(line, &sample.tags);
        },
    );
}

fn level(failed: bool) -> Level {
    if failed { Level::Warn } else { Level::Info }
}

/// Which VU of which scenario made the measurement, and in which iteration.
fn guest(line: &mut Object<'_>, scenario: &str, vu: u32, iteration: Option<u32>) {
    line.object("guest", |guest| {
        guest.text("scenario", scenario);
        guest.count("vu", vu.into());
        if let Some(iteration) = iteration {
            guest.count("iteration", iteration.into());
        }
    });
}

fn error(line: &mut Object<'_>, failure: Option<&str>) {
    line.object("error", |error| error.optional("message", failure));
}
