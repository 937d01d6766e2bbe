//! Single measurements on their way from a thread that makes thousands of them a
//! second: held until there are some, and handed to the [`Feed`] together. One
//! by one, each would take the queue and its counters, to which both sides
//! write, from the recorder's core to this one and back.
//!
//! A thread that wants to [`begin`]s, and calls [`hand_over`] now and then, so
//! that none waits long when no others come. Everywhere else they are handed
//! over at once.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::time::Duration;

use super::Feed;
use super::measured::{MeasurementKind, Moment, Row, Table};

/// How many are handed over together.
pub(super) const TOGETHER: usize = 256;

/// How long the first of them waits for others, as long as others come.
const LONGEST: Duration = Duration::from_millis(10);

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

struct Held {
    feed: Feed,
    table: Table,
}

impl Held {
    fn hand_over(&mut self) {
        if let Some(measured) = self.table.take() {
            self.feed.publish_measured(measured);
        }
    }

    fn hand_over_if_due(&mut self) {
        let is_due = self.table.measured().is_some_and(|measured| {
            let all = measured.all();
            let ends = all.first().zip(all.last());
            let waited = ends.map(|(first, last)| last.elapsed.beyond(first.elapsed));
            all.len() >= TOGETHER || waited >= Some(LONGEST)
        });
        if is_due {
            self.hand_over();
        }
    }
}

/// Gathers the single measurements of this thread for `feed`, until what is
/// returned is dropped, which hands over the last ones.
pub fn begin(feed: Feed) -> Gathering {
    let table = Table::default();
    HELD.set(Some(Held { feed, table }));
    Gathering(PhantomData)
}

/// Hands over what this thread has gathered.
pub fn hand_over() {
    HELD.with_borrow_mut(|held| {
        if let Some(held) = held {
            held.hand_over();
        }
    });
}

/// Writes a measurement that is for `feed` beside those that this thread has
/// gathered, or hands it over at once if it gathers none.
pub(super) fn write(
    feed: &Feed,
    moment: Moment<'_>,
    write: impl FnOnce(&mut Row<'_>) -> MeasurementKind,
) {
    HELD.with_borrow_mut(|held| {
        if let Some(held) = held.as_mut().filter(|held| held.feed.is(feed)) {
            held.table.write(moment, write);
            held.hand_over_if_due();
            return;
        }
        let mut alone = Table::default();
        alone.write(moment, write);
        if let Some(measured) = alone.take() {
            feed.publish_measured(measured);
        }
    });
}

/// A thread that gathers. Belongs to that thread.
#[must_use = "it ends the gathering when it is dropped"]
#[derive(Debug)]
pub struct Gathering(PhantomData<*const ()>);

impl Drop for Gathering {
    fn drop(&mut self) {
        hand_over();
        HELD.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::MEASUREMENTS;
    use super::super::feed::tests::{check, event, feed, system, taken};
    use super::*;
    use crate::event::{Event, EventKind, Interests, LogMessage, Origin};
    use crate::measure::LogLevel;

    fn vus(events: &[Event]) -> Vec<u32> {
        let vu = |event: &Event| match &event.kind {
            EventKind::Check(check) => Some(check.origin.vu),
            _ => None,
        };
        events.iter().filter_map(vu).collect()
    }

    #[test]
    fn they_come_together_and_in_order() {
        let (feed, queue, inbox) = feed(Interests::CHECKS);
        let gathering = begin(feed.clone());
        let count = TOGETHER as u32 + 3;
        (0..count).for_each(|number| feed.publish(check(number)));
        assert_eq!(queue.waiting(), TOGETHER as u64);
        hand_over();
        assert_eq!(queue.waiting(), u64::from(count));
        feed.publish(check(count));
        drop(gathering);
        // Nobody gathers any more.
        feed.publish(check(count + 1));
        assert_eq!(vus(&taken(&inbox)), (0..count + 2).collect::<Vec<_>>());
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn none_waits_long_for_others() {
        let (feed, queue, _inbox) = feed(Interests::CHECKS);
        let _gathering = begin(feed.clone());
        feed.publish(check(1));
        feed.publish(check(2));
        assert_eq!(queue.waiting(), 0);
        feed.publish(Event {
            elapsed: LONGEST,
            ..check(3)
        });
        assert_eq!(queue.waiting(), 3);
    }

    #[test]
    fn nothing_else_waits_and_other_feeds_do_not() {
        let (own, queue, _inbox) = feed(Interests::CHECKS.with(Interests::SYSTEM));
        let (other, others, _others_inbox) = feed(Interests::CHECKS);
        let _gathering = begin(own.clone());
        own.publish(event(EventKind::RunStarted));
        own.publish(system());
        other.publish(check(1));
        assert_eq!((queue.waiting(), others.waiting()), (1, 1));
    }

    #[test]
    fn what_is_not_gathered_keeps_its_place() {
        let (feed, _queue, inbox) = feed(Interests::CHECKS.with(Interests::LOGS));
        let _gathering = begin(feed.clone());
        let log = || {
            event(EventKind::Log(Box::new(LogMessage {
                origin: Origin {
                    scenario: "default".into(),
                    vu: 1,
                    iteration: 0,
                },
                level: LogLevel::Info,
                message: "now".into(),
            })))
        };
        for event in [check(1), check(2), log(), check(3), log()] {
            feed.publish(event);
        }
        let kinds: Vec<_> = taken(&inbox).iter().map(|it| it.kind.name()).collect();
        assert_eq!(kinds, ["check", "check", "log", "check", "log"]);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_where_it_is_missing() {
        let (feed, queue, inbox) = feed(Interests::CHECKS);
        let gathering = begin(feed.clone());
        let count = MEASUREMENTS as u32 + 10;
        (0..count).for_each(|number| feed.publish(check(number)));
        hand_over();
        assert_eq!(queue.dropped(), 10);
        let batch = taken(&inbox);
        assert_eq!(vus(&batch), (0..MEASUREMENTS as u32).collect::<Vec<_>>());
        feed.publish(check(count));
        drop(gathering);
        let batch = taken(&inbox);
        assert!(matches!(batch[0].kind, EventKind::EventsDropped(10)));
        assert_eq!((vus(&batch), queue.waiting()), (vec![count], 0));
    }

    #[test]
    fn each_recorder_gets_what_it_wants_of_them() {
        let (only_system, system_inbox) = super::super::feed::Queue::new(LONGEST);
        let (checks, checks_inbox) = super::super::feed::Queue::new(LONGEST);
        let feed = Feed::new(vec![only_system.clone(), checks.clone()]);
        feed.set_interests(&only_system, Some(Interests::SYSTEM));
        feed.set_interests(&checks, Some(Interests::CHECKS));
        let gathering = begin(feed.clone());
        feed.publish(check(1));
        drop(gathering);
        assert!(taken(&system_inbox).is_empty());
        assert_eq!(vus(&taken(&checks_inbox)), [1]);
    }
}
