//! Many single measurements in one: numbers, with the texts of all of them in one
//! table. Thousands a second go from core to core this way, and to a component,
//! with no allocation and no shared count for each, and in few lines of a cache.

use std::borrow::Borrow;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::event::{self, Event, EventKind, Interests, Origin};
use crate::measure::{MetricKind, Phases, RequestSample, Tag};

/// Single measurements of one node, in the order in which they were made: one at
/// least.
#[derive(Debug, Clone)]
pub struct Measured {
    node: Arc<str>,
    all: Vec<Measurement>,
    /// What is larger than the rest.
    requests: Vec<Request>,
    texts: Vec<Arc<str>>,
    tag_sets: Vec<Vec<Tag>>,
    kinds: Interests,
}

/// A place in the table of texts.
pub type Text = u32;

/// A place in the table of sets of tags.
pub type TagSet = u32;

/// The place of the empty set.
pub const NO_TAGS: TagSet = 0;

/// A length of time in half the space of a [`Duration`], also where it may be
/// absent: up to 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nanos(NonZero<u64>);

impl Nanos {
    /// How much longer this is; nothing if it is not.
    pub(super) fn beyond(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(other.0.get()))
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        let seconds = duration.as_secs().saturating_mul(1_000_000_000);
        let nanos = seconds.saturating_add(duration.subsec_nanos().into());
        Self(NonZero::<u64>::MIN.saturating_add(nanos))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0.get() - 1)
    }
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// As an event's.
    pub time_ms: f64,
    /// As an event's.
    pub elapsed: Nanos,
    /// What was measured.
    pub kind: MeasurementKind,
}

/// What was measured: as the events of these names, with places for texts.
#[derive(Debug, Clone, Copy)]
pub enum MeasurementKind {
    /// A request finished: its place among the requests.
    Request(u32),
    /// A transaction finished.
    Transaction {
        /// Where.
        place: Place,
        /// Its name.
        name: Text,
        /// How long it took.
        duration: Nanos,
        /// Why it failed.
        failure: Option<Text>,
        /// Its tags.
        tags: TagSet,
    },
    /// An iteration finished.
    Iteration {
        /// Where.
        place: Place,
        /// How long it took.
        duration: Nanos,
        /// How long after it was due it started.
        lag: Option<Nanos>,
        /// Why it failed.
        failure: Option<Text>,
    },
    /// A check was made.
    Check {
        /// Where.
        place: Place,
        /// Its name.
        name: Text,
        /// Whether it held.
        passed: bool,
        /// Its tags.
        tags: TagSet,
    },
    /// A value was added to a metric.
    Sample {
        /// The metric.
        metric: Text,
        /// Its kind.
        kind: MetricKind,
        /// The value.
        value: f64,
        /// Its tags.
        tags: TagSet,
    },
}

/// Where a measurement was made.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The scenario.
    pub scenario: Text,
    /// The VU's number, from 1.
    pub vu: u32,
    /// The VU's iteration, from 0.
    pub iteration: u32,
}

/// A request and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// The method.
    pub method: Text,
    /// The name it is reported under.
    pub name: Text,
    /// The URL as it was sent.
    pub url: Text,
    /// When it was sent: milliseconds since the Unix epoch.
    pub started_at_ms: f64,
    /// What was measured.
    pub figures: Figures,
    /// From the start to the end of the response's headers.
    pub first_byte: Option<Nanos>,
    /// Why it counts as a failure.
    pub failure: Option<Text>,
    /// Its tags.
    pub tags: TagSet,
}

/// The figures of a request: a [`RequestSample`] in less space.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// As in [`RequestSample`].
    pub duration: Nanos,
    /// As in [`RequestSample`].
    pub from_due: Option<Nanos>,
    /// As in [`Phases`].
    pub connecting: Option<Nanos>,
    /// As in [`Phases`].
    pub tls: Option<Nanos>,
    /// As in [`Phases`].
    pub waiting: Option<Nanos>,
    /// As in [`Phases`].
    pub receiving: Option<Nanos>,
    /// As in [`RequestSample`].
    pub status: u16,
    /// As in [`RequestSample`].
    pub failed: bool,
    /// As in [`RequestSample`].
    pub sent_bytes: u64,
    /// As in [`RequestSample`].
    pub received_bytes: u64,
}

impl From<&RequestSample> for Figures {
    fn from(sample: &RequestSample) -> Self {
        let phases = &sample.phases;
        Self {
            duration: sample.duration.into(),
            from_due: sample.from_due.map(Into::into),
            connecting: phases.connecting.map(Into::into),
            tls: phases.tls.map(Into::into),
            waiting: phases.waiting.map(Into::into),
            receiving: phases.receiving.map(Into::into),
            status: sample.status,
            failed: sample.failed,
            sent_bytes: sample.sent_bytes,
            received_bytes: sample.received_bytes,
        }
    }
}

impl From<&Figures> for RequestSample {
    fn from(figures: &Figures) -> Self {
        let duration = |nanos: Option<Nanos>| nanos.map(Duration::from);
        Self {
            duration: figures.duration.into(),
            from_due: duration(figures.from_due),
            phases: Phases {
                connecting: duration(figures.connecting),
                tls: duration(figures.tls),
                waiting: duration(figures.waiting),
                receiving: duration(figures.receiving),
            },
            status: figures.status,
            failed: figures.failed,
            sent_bytes: figures.sent_bytes,
            received_bytes: figures.received_bytes,
        }
    }
}

impl MeasurementKind {
    /// The set that a recorder must have asked for to get it.
    fn interest(&self) -> Interests {
        match self {
            Self::Request(_) => Interests::REQUESTS,
            Self::Transaction { .. } => Interests::TRANSACTIONS,
            Self::Iteration { .. } => Interests::ITERATIONS,
            Self::Check { .. } => Interests::CHECKS,
            Self::Sample { .. } => Interests::SAMPLES,
        }
    }
}

impl Measured {
    /// A single one.
    pub(super) fn one(event: &Event) -> Self {
        let mut table = Table::default();
        table.add(event);
        table.take().expect("it was just added")
    }

    /// The node on which they were made.
    pub fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Measurement] {
        &self.all
    }

    /// The requests that they call by their places.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The texts that they call by their places.
    pub fn texts(&self) -> &[Arc<str>] {
        &self.texts
    }

    /// The sets of tags that they call by their places. The first is empty.
    pub fn tag_sets(&self) -> &[Vec<Tag>] {
        &self.tag_sets
    }

    /// How many a recorder with these interests gets of them.
    pub(super) fn wanted(&self, interests: Interests) -> usize {
        if interests.contains(self.kinds) {
            return self.all.len();
        }
        let wanted = |it: &&Measurement| interests.contains(it.kind.interest());
        self.all.iter().filter(wanted).count()
    }

    /// The first of those that a recorder with these interests gets, so many at
    /// most; `None` if that is none.
    pub(super) fn first_of(&self, interests: Interests, count: usize) -> Option<Self> {
        let mut table = Table::default();
        self.all
            .iter()
            .filter(|measurement| interests.contains(measurement.kind.interest()))
            .take(count)
            .for_each(|measurement| table.add(&self.event(measurement)));
        table.take()
    }

    /// Says that events were dropped before the first of them.
    pub(super) fn gap_before(&self, dropped: u64) -> Event {
        let first = &self.all[0];
        Event {
            time_ms: first.time_ms,
            elapsed: first.elapsed.into(),
            node: self.node.clone(),
            kind: EventKind::EventsDropped(dropped),
        }
    }

    /// Each as an event of its own.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.all.iter().map(|measurement| self.event(measurement))
    }

    fn event(&self, measurement: &Measurement) -> Event {
        Event {
            time_ms: measurement.time_ms,
            elapsed: measurement.elapsed.into(),
            node: self.node.clone(),
            kind: self.kind(&measurement.kind),
        }
    }

    fn kind(&self, kind: &MeasurementKind) -> EventKind {
        let text = |place: Text| self.texts[place as usize].clone();
        let tags = |set: TagSet| self.tag_sets[set as usize].clone();
        let origin = |place: Place| Origin {
            scenario: text(place.scenario),
            vu: place.vu,
            iteration: place.iteration,
        };
        match *kind {
            MeasurementKind::Request(request) => {
                let request = &self.requests[request as usize];
                EventKind::Request(Box::new(event::Request {
                    origin: origin(request.place),
                    method: text(request.method),
                    name: text(request.name),
                    url: text(request.url),
                    started_at_ms: request.started_at_ms,
                    sample: (&request.figures).into(),
                    first_byte: request.first_byte.map(Into::into),
                    failure: request.failure.map(text),
                    tags: tags(request.tags),
                }))
            }
            MeasurementKind::Transaction {
                place,
                name,
                duration,
                failure,
                tags: set,
            } => EventKind::Transaction(Box::new(event::Transaction {
                origin: origin(place),
                name: text(name),
                duration: duration.into(),
                failure: failure.map(text),
                tags: tags(set),
            })),
            MeasurementKind::Iteration {
                place,
                duration,
                lag,
                failure,
            } => EventKind::Iteration(event::Iteration {
                origin: origin(place),
                duration: duration.into(),
                lag: lag.map(Into::into),
                failure: failure.map(text),
            }),
            MeasurementKind::Check {
                place,
                name,
                passed,
                tags: set,
            } => EventKind::Check(Box::new(event::Check {
                origin: origin(place),
                name: text(name),
                passed,
                tags: tags(set),
            })),
            MeasurementKind::Sample {
                metric,
                kind,
                value,
                tags: set,
            } => EventKind::Sample(Box::new(event::Sample {
                metric: text(metric),
                kind,
                value,
                tags: tags(set),
            })),
        }
    }
}

/// When and where a measurement was made.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// As an event's.
    pub time_ms: f64,
    /// As an event's.
    pub elapsed: Duration,
    /// As an event's.
    pub node: &'a Arc<str>,
}

impl<'a> Moment<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        Self {
            time_ms: event.time_ms,
            elapsed: event.elapsed,
            node: &event.node,
        }
    }
}

/// How many places are found by where their texts are in memory.
const RECENT: usize = 16;

/// Measurements on their way into a [`Measured`].
#[derive(Debug, Default)]
pub(super) struct Table {
    measured: Option<Measured>,
    places: Places,
    /// How many there were the last time, and requests among them: there will be about
    /// as many.
    all: usize,
    requests: usize,
}

/// What finds the place of a text or a set of tags that is there already.
#[derive(Debug, Default)]
struct Places {
    texts: FxHashMap<Arc<str>, Text>,
    /// Places of texts that were added, by where these are in memory: most are the
    /// same ones again and again.
    recent: [Text; RECENT],
    /// The same, by how long they are.
    alike: [Text; RECENT],
    tag_sets: FxHashMap<Vec<Tag>, TagSet>,
}

/// Where a measurement is written: gives places to the texts and tags that it
/// calls.
#[derive(Debug)]
pub struct Row<'a> {
    measured: &'a mut Measured,
    places: &'a mut Places,
}

impl Row<'_> {
    /// The place of a text that lives elsewhere, and most likely comes again.
    #[inline]
    pub fn shared(&mut self, text: &Arc<str>) -> Text {
        let slot = (text.as_ptr().addr() >> 4) % RECENT;
        let recent = self.places.recent[slot];
        match self.measured.texts.get(recent as usize) {
            Some(known) if Arc::ptr_eq(known, text) => recent,
            _ => {
                let place = place(
                    &**text,
                    || text.clone(),
                    &mut self.measured.texts,
                    &mut self.places.texts,
                );
                self.places.recent[slot] = place;
                place
            }
        }
    }

    /// The place of any text.
    #[inline]
    pub fn text(&mut self, text: &str) -> Text {
        let Self { measured, places } = self;
        let alike = &mut places.alike[text.len() % RECENT];
        match measured.texts.get(*alike as usize) {
            Some(known) if **known == *text => {}
            _ => {
                *alike = place(text, || text.into(), &mut measured.texts, &mut places.texts);
            }
        }
        *alike
    }

    /// The place of a set of tags.
    pub fn tags(&mut self, tags: Vec<Tag>) -> TagSet {
        if tags.is_empty() {
            return NO_TAGS;
        }
        let Self { measured, places } = self;
        let (all, known) = (&mut measured.tag_sets, &mut places.tag_sets);
        place(tags.as_slice(), || tags.clone(), all, known)
    }

    /// Where a measurement was made.
    pub fn place(&mut self, scenario: &Arc<str>, vu: u32, iteration: u32) -> Place {
        Place {
            scenario: self.shared(scenario),
            vu,
            iteration,
        }
    }

    /// A request, with the rest of it.
    pub fn request(&mut self, request: Request) -> MeasurementKind {
        self.measured.requests.push(request);
        MeasurementKind::Request(self.measured.requests.len() as u32 - 1)
    }
}

impl Table {
    /// Whether it takes events of this kind: numbers, and few texts that come again
    /// and again.
    pub(super) fn holds(kind: &EventKind) -> bool {
        matches!(
            kind,
            EventKind::Request(_)
                | EventKind::Transaction(_)
                | EventKind::Iteration(_)
                | EventKind::Check(_)
                | EventKind::Sample(_)
        )
    }

    /// Adds a measurement, made on the same node as those before it.
    #[inline]
    pub(super) fn write(
        &mut self,
        moment: Moment<'_>,
        write: impl FnOnce(&mut Row<'_>) -> MeasurementKind,
    ) {
        let measured = self.measured.get_or_insert_with(|| Measured {
            node: moment.node.clone(),
            all: Vec::with_capacity(self.all),
            requests: Vec::with_capacity(self.requests),
            texts: Vec::new(),
            tag_sets: vec![Vec::new()],
            kinds: Interests::default(),
        });
        let kind = write(&mut Row {
            measured,
            places: &mut self.places,
        });
        measured.kinds = measured.kinds.with(kind.interest());
        measured.all.push(Measurement {
            time_ms: moment.time_ms,
            elapsed: moment.elapsed.into(),
            kind,
        });
    }

    /// Adds an event of a kind that it holds, which was made on the same node as those
    /// before it.
    ///
    /// # Panics
    ///
    /// If it is of another kind.
    pub(super) fn add(&mut self, event: &Event) {
        self.write(Moment::of(event), |row| row.event(&event.kind));
    }

    /// What is there so far.
    pub(super) fn measured(&self) -> Option<&Measured> {
        self.measured.as_ref()
    }

    /// Takes what is there, if there is anything, and begins afresh.
    pub(super) fn take(&mut self) -> Option<Measured> {
        self.places.texts.clear();
        self.places.tag_sets.clear();
        let measured = self.measured.take()?;
        self.all = measured.all.len();
        self.requests = measured.requests.len();
        Some(measured)
    }
}

impl Row<'_> {
    fn origin(&mut self, origin: &Origin) -> Place {
        self.place(&origin.scenario, origin.vu, origin.iteration)
    }

    /// What an event of a kind that a table holds tells.
    ///
    /// # Panics
    ///
    /// If it is of another kind.
    pub(super) fn event(&mut self, kind: &EventKind) -> MeasurementKind {
        match kind {
            EventKind::Request(request) => {
                let request = Request {
                    place: self.origin(&request.origin),
                    method: self.shared(&request.method),
                    name: self.shared(&request.name),
                    url: self.shared(&request.url),
                    started_at_ms: request.started_at_ms,
                    first_byte: request.first_byte.map(Into::into),
                    failure: request.failure.as_ref().map(|it| self.shared(it)),
                    tags: self.tags(request.tags.clone()),
                    figures: (&request.sample).into(),
                };
                self.request(request)
            }
            EventKind::Transaction(transaction) => MeasurementKind::Transaction {
                place: self.origin(&transaction.origin),
                name: self.shared(&transaction.name),
                duration: transaction.duration.into(),
                failure: transaction.failure.as_ref().map(|it| self.shared(it)),
                tags: self.tags(transaction.tags.clone()),
            },
            EventKind::Iteration(iteration) => MeasurementKind::Iteration {
                place: self.origin(&iteration.origin),
                duration: iteration.duration.into(),
                lag: iteration.lag.map(Into::into),
                failure: iteration.failure.as_ref().map(|it| self.shared(it)),
            },
            EventKind::Check(check) => MeasurementKind::Check {
                place: self.origin(&check.origin),
                name: self.shared(&check.name),
                passed: check.passed,
                tags: self.tags(check.tags.clone()),
            },
            EventKind::Sample(sample) => MeasurementKind::Sample {
                metric: self.shared(&sample.metric),
                kind: sample.kind,
                value: sample.value,
                tags: self.tags(sample.tags.clone()),
            },
            other => panic!("no measurement: {}", other.name()),
        }
    }
}

/// The place of a thing, a new one if it has none. There are far fewer than would
/// fit.
fn place<Q: Eq + Hash + ?Sized, T: Borrow<Q> + Clone + Eq + Hash>(
    thing: &Q,
    own: impl FnOnce() -> T,
    all: &mut Vec<T>,
    places: &mut FxHashMap<T, u32>,
) -> u32 {
    if let Some(place) = places.get(thing) {
        return *place;
    }
    let place = all.len() as u32;
    let thing = own();
    all.push(thing.clone());
    places.insert(thing, place);
    place
}

#[cfg(test)]
mod tests {
    use super::super::feed::tests::event;
    use super::*;
    use crate::measure::Phases;

    fn origin(vu: u32) -> Origin {
        Origin {
            scenario: "browse".into(),
            vu,
            iteration: 2,
        }
    }

    fn one_of_each() -> Vec<Event> {
        let ms = Duration::from_millis;
        let tags: Vec<Tag> = vec![("plan".into(), "a".into())];
        let request = event::Request {
            origin: origin(1),
            method: "GET".into(),
            name: "/item/{id}".into(),
            url: "http://a.example/item/5".into(),
            started_at_ms: 12.5,
            sample: RequestSample {
                duration: ms(20),
                from_due: Some(ms(21)),
                phases: Phases {
                    waiting: Some(ms(19)),
                    ..Phases::default()
                },
                status: 503,
                failed: true,
                sent_bytes: 100,
                received_bytes: 200,
            },
            first_byte: Some(ms(19)),
            failure: Some("status 503".into()),
            tags: tags.clone(),
        };
        let kinds = [
            EventKind::Request(Box::new(request)),
            EventKind::Transaction(Box::new(event::Transaction {
                origin: origin(2),
                name: "buy".into(),
                duration: ms(3),
                failure: Some("status 503".into()),
                tags: tags.clone(),
            })),
            EventKind::Iteration(event::Iteration {
                origin: origin(3),
                duration: ms(4),
                lag: Some(ms(1)),
                failure: None,
            }),
            EventKind::Check(Box::new(event::Check {
                origin: origin(4),
                name: "buy".into(),
                passed: true,
                tags: Vec::new(),
            })),
            EventKind::Sample(Box::new(event::Sample {
                metric: "basket".into(),
                kind: MetricKind::Gauge,
                value: 0.5,
                tags,
            })),
        ];
        let at = |(number, kind)| Event {
            time_ms: f64::from(number),
            elapsed: ms(u64::from(number)),
            ..event(kind)
        };
        (0_u32..).zip(kinds).map(at).collect()
    }

    fn table(events: &[Event]) -> Measured {
        let mut table = Table::default();
        events.iter().for_each(|event| table.add(event));
        table.take().expect("there are some")
    }

    fn text(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        events.into_iter().map(|it| format!("{it:?}")).collect()
    }

    #[test]
    fn they_take_few_lines_of_a_cache() {
        assert!(size_of::<Measurement>() <= 64);
        assert!(size_of::<Request>() <= 128);
    }

    #[test]
    fn times_are_kept_to_the_nanosecond() {
        let longest = Duration::from_nanos(u64::MAX - 1);
        for duration in [Duration::ZERO, Duration::from_nanos(1_234_567_891), longest] {
            assert_eq!(Duration::from(Nanos::from(duration)), duration);
        }
        assert_eq!(Duration::from(Nanos::from(Duration::MAX)), longest);
    }

    #[test]
    fn each_comes_out_as_it_went_in() {
        let events = one_of_each();
        let measured = table(&events);
        assert_eq!(text(measured.events()), text(events));
    }

    #[test]
    fn each_text_and_each_set_of_tags_stands_once() {
        let measured = table(&[one_of_each(), one_of_each()].concat());
        assert_eq!(measured.all().len(), 10);
        let texts: Vec<&str> = measured.texts().iter().map(|text| &**text).collect();
        assert_eq!(
            texts,
            [
                "browse",
                "GET",
                "/item/{id}",
                "http://a.example/item/5",
                "status 503",
                "buy",
                "basket"
            ]
        );
        assert_eq!(measured.tag_sets().len(), 2);
        assert!(measured.tag_sets()[0].is_empty());
    }

    #[test]
    fn a_recorder_gets_the_first_of_those_it_wants() {
        let events = [one_of_each(), one_of_each()].concat();
        let measured = table(&events);
        let checks_and_samples = Interests::CHECKS.with(Interests::SAMPLES);
        assert_eq!(measured.wanted(Interests::ALL), 10);
        assert_eq!(measured.wanted(checks_and_samples), 4);
        assert_eq!(measured.wanted(Interests::LOGS), 0);
        let first = measured.first_of(checks_and_samples, 3).expect("some");
        let expected = [3, 4, 8].map(|number: usize| events[number].clone());
        assert_eq!(text(first.events()), text(expected));
        assert_eq!(first.texts().len(), 3);
        assert!(measured.first_of(Interests::LOGS, 3).is_none());
        assert!(measured.first_of(Interests::ALL, 0).is_none());
    }

    #[test]
    fn a_table_begins_afresh_with_nothing_of_the_one_before() {
        let mut table = Table::default();
        let events = one_of_each();
        table.add(&events[0]);
        assert_eq!(table.take().expect("it was added").all().len(), 1);
        assert!(table.take().is_none());
        table.add(&events[3]);
        let measured = table.take().expect("it was added");
        assert_eq!(text(measured.events()), text([events[3].clone()]));
        assert_eq!(measured.texts().len(), 2);
    }
}
