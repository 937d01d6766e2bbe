//! Single measurements as recorders get them: numbers, with the texts of all of
//! them in one table, so that handing over thousands takes no string for each.

use super::bindings::squall::recorder::events as wit;
use super::convert::{self, metric_kind, tags};
use crate::recorder::measured::{Measured, Measurement, MeasurementKind, Nanos, Request};

/// Measurements as one event, which happens when the last of them was made.
pub(super) fn event(measured: &Measured) -> wit::Event {
    let all = measured.all().iter();
    let all: Vec<_> = all.map(|it| measurement(it, measured)).collect();
    let texts = measured.texts().iter();
    let tag_sets = measured.tag_sets().iter();
    let last = all.last();
    wit::Event {
        time_ms: last.map_or(0.0, |last| last.time_ms),
        elapsed_ms: last.map_or(0.0, |last| last.elapsed_ms),
        node: measured.node().to_string(),
        kind: wit::EventKind::Measured(wit::Measurements {
            texts: texts.map(|text| text.to_string()).collect(),
            tag_sets: tag_sets.map(|set| tags(set)).collect(),
            all,
        }),
    }
}

fn measurement(measurement: &Measurement, of: &Measured) -> wit::Measurement {
    let kind = match measurement.kind {
        MeasurementKind::Request(place) => {
            wit::MeasurementKind::Request(request(&of.requests()[place as usize]))
        }
        MeasurementKind::Transaction {
            place,
            name,
            duration,
            failure,
            tags,
        } => wit::MeasurementKind::Transaction(wit::Transaction {
            scenario: place.scenario,
            vu: place.vu,
            iteration: place.iteration,
            name,
            duration_ms: ms(duration),
            failure,
            tags,
        }),
        MeasurementKind::Iteration {
            place,
            duration,
            lag: _,
            failure,
        } => wit::MeasurementKind::Iteration(wit::Iteration {
            scenario: place.scenario,
            vu: place.vu,
            iteration: place.iteration,
            duration_ms: ms(duration),
            failure,
        }),
        MeasurementKind::Check {
            place,
            name,
            passed,
            tags,
        } => wit::MeasurementKind::Check(wit::Check {
            scenario: place.scenario,
            vu: place.vu,
            iteration: place.iteration,
            name,
            passed,
            tags,
        }),
        MeasurementKind::Sample {
            metric,
            kind,
            value,
            tags,
        } => wit::MeasurementKind::Sample(wit::Sample {
            metric,
            kind: metric_kind(kind),
            value,
            tags,
        }),
    };
    wit::Measurement {
        time_ms: measurement.time_ms,
        elapsed_ms: ms(measurement.elapsed),
        kind,
    }
}

fn request(request: &Request) -> wit::Request {
    let figures = &request.figures;
    wit::Request {
        scenario: request.place.scenario,
        vu: request.place.vu,
        iteration: request.place.iteration,
        method: request.method,
        name: request.name,
        url: request.url,
        status: figures.status,
        started_at_ms: request.started_at_ms,
        duration_ms: ms(figures.duration),
        first_byte_ms: request.first_byte.map(ms),
        phases: wit::RequestPhases {
            connecting_ms: figures.connecting.map(ms),
            tls_ms: figures.tls.map(ms),
            waiting_ms: figures.waiting.map(ms),
            receiving_ms: figures.receiving.map(ms),
        },
        sent_bytes: figures.sent_bytes,
        received_bytes: figures.received_bytes,
        failure: request.failure,
        tags: request.tags,
    }
}

fn ms(nanos: Nanos) -> f64 {
    convert::ms(nanos.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::convert;
    use super::*;
    use crate::event::{Check, Event, EventKind, Iteration, Origin, Request};
    use crate::measure::{Phases, RequestSample};

    fn events(happened: &[Event], dropped: &mut u64) -> Vec<wit::Event> {
        convert::events(&happened.iter().cloned().collect(), dropped)
    }

    fn happened(node: &str, at: u64, kind: EventKind) -> Event {
        Event {
            time_ms: 1_000.0 + at as f64,
            elapsed: Duration::from_millis(at),
            node: node.into(),
            kind,
        }
    }

    fn origin(vu: u32) -> Origin {
        Origin {
            scenario: "browse".into(),
            vu,
            iteration: 2,
        }
    }

    fn request(failure: Option<&str>, tags: &[(&str, &str)]) -> EventKind {
        EventKind::Request(Box::new(Request {
            origin: origin(7),
            method: "GET".into(),
            name: "/item/{id}".into(),
            url: "http://127.0.0.1/item/5".into(),
            started_at_ms: 12.0,
            sample: RequestSample {
                from_due: None,
                duration: Duration::from_millis(20),
                phases: Phases {
                    connecting: None,
                    tls: None,
                    waiting: Some(Duration::from_millis(14)),
                    receiving: Some(Duration::from_millis(6)),
                },
                status: 503,
                failed: true,
                sent_bytes: 100,
                received_bytes: 200,
            },
            first_byte: Some(Duration::from_millis(15)),
            failure: failure.map(Into::into),
            tags: tags
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        }))
    }

    fn check(vu: u32, name: &str) -> EventKind {
        EventKind::Check(Box::new(Check {
            origin: origin(vu),
            name: name.into(),
            passed: vu.is_multiple_of(2),
            tags: Vec::new(),
        }))
    }

    fn measurements(event: &wit::Event) -> &wit::Measurements {
        match &event.kind {
            wit::EventKind::Measured(measurements) => measurements,
            _ => panic!("no measurements: {event:?}"),
        }
    }

    #[test]
    fn a_request_keeps_all_that_was_measured() {
        let kind = request(Some("status 503"), &[("a", "b")]);
        let events = events(&[happened("worker-1", 4, kind)], &mut 0);
        let measured = measurements(&events[0]);
        let [
            wit::Measurement {
                time_ms,
                elapsed_ms,
                kind,
            },
        ] = &measured.all[..]
        else {
            panic!("one: {measured:?}");
        };
        assert_eq!((*time_ms, *elapsed_ms), (1_004.0, 4.0));
        let wit::MeasurementKind::Request(request) = kind else {
            panic!("not a request: {kind:?}");
        };
        let text = |place: u32| &*measured.texts[place as usize];
        assert_eq!(
            (text(request.scenario), request.vu, request.iteration),
            ("browse", 7, 2)
        );
        assert_eq!(
            (text(request.method), text(request.name)),
            ("GET", "/item/{id}")
        );
        assert_eq!(text(request.url), "http://127.0.0.1/item/5");
        assert_eq!((request.status, request.started_at_ms), (503, 12.0));
        assert_eq!(
            (request.duration_ms, request.first_byte_ms),
            (20.0, Some(15.0))
        );
        let phases = request.phases;
        assert_eq!((phases.connecting_ms, phases.tls_ms), (None, None));
        assert_eq!(
            (phases.waiting_ms, phases.receiving_ms),
            (Some(14.0), Some(6.0))
        );
        assert_eq!((request.sent_bytes, request.received_bytes), (100, 200));
        assert_eq!(request.failure.map(text), Some("status 503"));
        let tags = &measured.tag_sets[request.tags as usize];
        assert_eq!(tags[..], [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn each_text_and_each_set_of_tags_stands_once() {
        let tags = [("a", "b")];
        let kinds = [
            request(None, &tags),
            check(1, "ok"),
            request(None, &[]),
            check(2, "ok"),
            request(Some("ok"), &tags),
        ];
        let events: Vec<_> = (0..)
            .zip(kinds)
            .map(|(at, kind)| happened("n", at, kind))
            .collect();
        let events = self::events(&events, &mut 0);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].time_ms, events[0].elapsed_ms), (1_004.0, 4.0));
        let measured = measurements(&events[0]);
        assert_eq!(
            measured.texts,
            [
                "browse",
                "GET",
                "/item/{id}",
                "http://127.0.0.1/item/5",
                "ok"
            ]
        );
        assert_eq!(
            measured.tag_sets,
            [vec![], vec![("a".to_owned(), "b".to_owned())]]
        );
        let found = measured
            .all
            .iter()
            .map(|measurement| match measurement.kind {
                wit::MeasurementKind::Request(request) => (request.tags, request.failure),
                wit::MeasurementKind::Check(check) => (check.tags, Some(check.name)),
                _ => panic!("neither: {measurement:?}"),
            });
        let expected = [
            (1, None),
            (0, Some(4)),
            (0, None),
            (0, Some(4)),
            (1, Some(4)),
        ];
        assert!(found.eq(expected));
    }

    #[test]
    fn order_and_nodes_are_kept() {
        let iteration = EventKind::Iteration(Iteration {
            origin: origin(1),
            duration: Duration::from_secs(1),
            lag: None,
            failure: None,
        });
        let batch = [
            happened("worker-1", 0, check(1, "a")),
            happened("worker-2", 1, check(2, "a")),
            happened("worker-2", 2, iteration),
            happened("worker-2", 3, EventKind::EventsDropped(5)),
            happened("worker-2", 4, check(3, "a")),
        ];
        let mut dropped = 2;
        let events = events(&batch, &mut dropped);
        assert_eq!(dropped, 7);
        let found: Vec<_> = events
            .iter()
            .map(|event| match &event.kind {
                wit::EventKind::Measured(measured) => {
                    assert_eq!(measured.tag_sets, [Vec::new()]);
                    (&*event.node, measured.all.len())
                }
                _ => (&*event.node, 0),
            })
            .collect();
        let expected = [
            ("worker-1", 1),
            ("worker-2", 2),
            ("worker-2", 0),
            ("worker-2", 1),
        ];
        assert_eq!(found, expected);
    }
}
