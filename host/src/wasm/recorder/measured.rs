//! Single measurements as recorders get them: numbers, with the texts of all of
//! them in one table, so that handing over thousands takes no string for each.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::bindings::squall::recorder::events as wit;
use super::convert::{metric_kind, ms, tags};
use crate::event::{Event, EventKind, Origin};
use crate::measure::{Phases, Tag};

/// Measurements that were made one after the other on one node.
#[derive(Default)]
pub(super) struct Measured<'a> {
    all: Vec<wit::Measurement>,
    texts: Table<&'a str>,
    tag_sets: Table<&'a [Tag]>,
    last: Option<&'a Event>,
}

impl<'a> Measured<'a> {
    /// Whether what happens on this node goes with what is there.
    pub(super) fn is_of(&self, node: &str) -> bool {
        self.last.is_none_or(|last| *last.node == *node)
    }

    /// Adds an event that is a measurement.
    pub(super) fn add(&mut self, event: &'a Event) {
        let kind = match &event.kind {
            EventKind::Request(request) => {
                let (scenario, vu, iteration) = self.origin(&request.origin);
                wit::MeasurementKind::Request(wit::Request {
                    scenario,
                    vu,
                    iteration,
                    method: self.texts.place(&request.method),
                    name: self.texts.place(&request.name),
                    url: self.texts.place(&request.url),
                    status: request.sample.status,
                    started_at_ms: request.started_at_ms,
                    duration_ms: ms(request.sample.duration),
                    first_byte_ms: request.first_byte.map(ms),
                    phases: phases(&request.sample.phases),
                    sent_bytes: request.sample.sent_bytes,
                    received_bytes: request.sample.received_bytes,
                    failure: self.text(request.failure.as_ref()),
                    tags: self.tag_set(&request.tags),
                })
            }
            EventKind::Transaction(transaction) => {
                let (scenario, vu, iteration) = self.origin(&transaction.origin);
                wit::MeasurementKind::Transaction(wit::Transaction {
                    scenario,
                    vu,
                    iteration,
                    name: self.texts.place(&transaction.name),
                    duration_ms: ms(transaction.duration),
                    failure: self.text(transaction.failure.as_ref()),
                    tags: self.tag_set(&transaction.tags),
                })
            }
            EventKind::Iteration(done) => {
                let (scenario, vu, iteration) = self.origin(&done.origin);
                wit::MeasurementKind::Iteration(wit::Iteration {
                    scenario,
                    vu,
                    iteration,
                    duration_ms: ms(done.duration),
                    failure: self.text(done.failure.as_ref()),
                })
            }
            EventKind::Check(check) => {
                let (scenario, vu, iteration) = self.origin(&check.origin);
                wit::MeasurementKind::Check(wit::Check {
                    scenario,
                    vu,
                    iteration,
                    name: self.texts.place(&check.name),
                    passed: check.passed,
                    tags: self.tag_set(&check.tags),
                })
            }
            EventKind::Sample(sample) => wit::MeasurementKind::Sample(wit::Sample {
                metric: self.texts.place(&sample.metric),
                kind: metric_kind(sample.kind),
                value: sample.value,
                tags: self.tag_set(&sample.tags),
            }),
            _ => return,
        };
        self.all.push(wit::Measurement {
            time_ms: event.time_ms,
            elapsed_ms: ms(event.elapsed),
            kind,
        });
        self.last = Some(event);
    }

    /// Adds them to `to` as one event, if there are any, and begins afresh.
    pub(super) fn flush(&mut self, to: &mut Vec<wit::Event>) {
        let Self {
            all,
            texts,
            mut tag_sets,
            last,
        } = std::mem::take(self);
        let Some(last) = last else { return };
        if tag_sets.all.is_empty() {
            tag_sets.all.push(&[]);
        }
        let measurements = wit::Measurements {
            texts: texts.all.into_iter().map(str::to_owned).collect(),
            tag_sets: tag_sets.all.into_iter().map(tags).collect(),
            all,
        };
        to.push(wit::Event {
            time_ms: last.time_ms,
            elapsed_ms: ms(last.elapsed),
            node: last.node.to_string(),
            kind: wit::EventKind::Measured(measurements),
        });
    }

    fn origin(&mut self, origin: &'a Origin) -> (u32, u32, u32) {
        let scenario = self.texts.place(&origin.scenario);
        (scenario, origin.vu, origin.iteration)
    }

    fn text(&mut self, text: Option<&'a Arc<str>>) -> Option<u32> {
        text.map(|text| self.texts.place(text))
    }

    fn tag_set(&mut self, tags: &'a [Tag]) -> u32 {
        if tags.is_empty() {
            return 0;
        }
        if self.tag_sets.all.is_empty() {
            self.tag_sets.place(&[]);
        }
        self.tag_sets.place(tags)
    }
}

fn phases(phases: &Phases) -> wit::RequestPhases {
    wit::RequestPhases {
        connecting_ms: phases.connecting.map(ms),
        tls_ms: phases.tls.map(ms),
        waiting_ms: phases.waiting.map(ms),
        receiving_ms: phases.receiving.map(ms),
    }
}

/// Things that differ, each at its place.
struct Table<T> {
    all: Vec<T>,
    places: FxHashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: FxHashMap::default(),
        }
    }
}

impl<T: Copy + Eq + Hash> Table<T> {
    /// The place of a thing, a new one if it has none. A batch has far fewer
    /// than would fit.
    fn place(&mut self, thing: T) -> u32 {
        *self.places.entry(thing).or_insert_with(|| {
            self.all.push(thing);
            (self.all.len() - 1) as u32
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::convert::events;
    use super::*;
    use crate::event::{Check, Iteration, Request};
    use crate::measure::RequestSample;

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
        let events = super::super::convert::events(&events, &mut 0);
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
