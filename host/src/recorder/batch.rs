//! What a recorder is given at once.

use std::sync::Arc;

use super::measured::{Measured, Table};
use crate::event::{Event, EventKind, Interests};

/// Events, in order. Single measurements come many in one.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pieces: Vec<Piece>,
    /// How many events there are.
    len: usize,
}

/// A part of a batch.
#[derive(Debug, Clone)]
pub enum Piece {
    /// An event, which is none of those that come many in one.
    Event(Event),
    /// Single measurements.
    Measured(Arc<Measured>),
}

/// What class of event there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    LifeCycle,
    Aggregate,
    Measurement,
}

pub(super) fn class(kind: &EventKind) -> Class {
    match kind {
        EventKind::Stats(_) | EventKind::System(_) => Class::Aggregate,
        kind if kind.interest() == Interests::default() => Class::LifeCycle,
        _ => Class::Measurement,
    }
}

impl Batch {
    /// Its parts, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Each event by itself.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.pieces.iter().flat_map(|piece| {
            let (event, measured) = match piece {
                Piece::Event(event) => (Some(event.clone()), None),
                Piece::Measured(measured) => (None, Some(measured.events())),
            };
            event.into_iter().chain(measured.into_iter().flatten())
        })
    }

    pub(super) fn push(&mut self, event: Event) {
        self.push_piece(match Table::holds(&event.kind) {
            true => Piece::Measured(Arc::new(Measured::one(&event))),
            false => Piece::Event(event),
        });
    }

    pub(super) fn push_piece(&mut self, piece: Piece) {
        self.len += piece.len();
        self.pieces.push(piece);
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.len = 0;
    }

    /// How many events there are, but for those that tell of others.
    pub(super) fn count(&self) -> u64 {
        self.pieces.iter().map(Piece::count).sum()
    }
}

/// Puts measurements that follow each other on a node into one piece.
impl FromIterator<Event> for Batch {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut batch = Self::default();
        let mut table = Table::default();
        let close = |table: &mut Table, batch: &mut Self| {
            if let Some(measured) = table.take() {
                batch.push_piece(Piece::Measured(Arc::new(measured)));
            }
        };
        for event in events {
            let goes_on = Table::holds(&event.kind)
                && table.measured().is_none_or(|it| *it.node() == event.node);
            if !goes_on {
                close(&mut table, &mut batch);
            }
            match Table::holds(&event.kind) {
                true => table.add(&event),
                false => batch.push_piece(Piece::Event(event)),
            }
        }
        close(&mut table, &mut batch);
        batch
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Event(_) => 1,
            Self::Measured(measured) => measured.all().len(),
        }
    }

    pub(super) fn class(&self) -> Class {
        match self {
            Self::Event(event) => class(&event.kind),
            Self::Measured(_) => Class::Measurement,
        }
    }

    /// How many events there are, but for those that tell of others.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Event(event) => u64::from(!matches!(event.kind, EventKind::EventsDropped(_))),
            Self::Measured(measured) => measured.all().len() as u64,
        }
    }

    /// How many events are missing where it is missing.
    pub(super) fn stands_for(&self) -> u64 {
        match self {
            Self::Event(event) => match event.kind {
                EventKind::EventsDropped(earlier) => earlier,
                _ => 1,
            },
            Self::Measured(measured) => measured.all().len() as u64,
        }
    }

    /// Says that events were dropped before it.
    pub(super) fn gap_before(&self, dropped: u64) -> Event {
        match self {
            Self::Event(event) => gap_before(event, dropped),
            Self::Measured(measured) => measured.gap_before(dropped),
        }
    }
}

/// Says that events were dropped before `event`.
pub(super) fn gap_before(event: &Event, dropped: u64) -> Event {
    Event {
        time_ms: event.time_ms,
        elapsed: event.elapsed,
        node: event.node.clone(),
        kind: EventKind::EventsDropped(dropped),
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::tests::{check, event, system};
    use super::*;

    #[test]
    fn measurements_of_a_node_that_follow_each_other_are_one_piece() {
        let elsewhere = Event {
            node: "worker-2".into(),
            ..check(3)
        };
        let events = [
            check(1),
            check(2),
            elsewhere,
            event(EventKind::EventsDropped(7)),
            check(4),
            system(),
        ];
        let batch: Batch = events.iter().cloned().collect();
        let lens: Vec<_> = batch.pieces().iter().map(Piece::len).collect();
        assert_eq!(lens, [2, 1, 1, 1, 1]);
        assert_eq!((batch.len(), batch.count()), (6, 5));
        let lost: u64 = batch.pieces().iter().map(Piece::stands_for).sum();
        assert_eq!(lost, 12);
        let again: Vec<_> = batch.events().map(|event| format!("{event:?}")).collect();
        assert_eq!(again, events.map(|event| format!("{event:?}")));
    }

    #[test]
    fn a_gap_stands_where_the_piece_begins() {
        let late = Event {
            time_ms: 9.0,
            ..check(2)
        };
        let batch: Batch = [check(1), late].into_iter().collect();
        let gap = batch.pieces()[0].gap_before(3);
        assert_eq!((gap.time_ms, &*gap.node), (1.0, "standalone"));
        assert!(matches!(gap.kind, EventKind::EventsDropped(3)));
    }
}
