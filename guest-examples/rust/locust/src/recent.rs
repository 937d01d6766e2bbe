//! The requests of the last ten seconds, for the rates that are called current.

use std::collections::{HashMap, VecDeque};

use crate::squall::recorder::events::{RequestStats, Window};

/// How long it takes until a request is no longer recent.
const SPAN_MS: f64 = 10_000.0;
/// Intervals that are shorter are kept together.
const SLOT_MS: f64 = 1_000.0;

/// How many requests there were in each of the last intervals: those that come
/// nearest to ten seconds, and one at least.
#[derive(Debug, Default)]
pub struct Recent {
    slots: VecDeque<Slot>,
    /// A number for each method and name.
    endpoints: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Slot {
    duration_ms: f64,
    all: Count,
    /// By the endpoint's number.
    endpoints: Vec<Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    requests: u64,
    failures: u64,
}

impl Count {
    fn add(&mut self, stats: &RequestStats) {
        self.requests += stats.requests;
        self.failures += stats.failures;
    }
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub requests: f64,
    pub failures: f64,
}

impl Recent {
    /// Takes in the next interval.
    pub fn push(&mut self, interval: &Window) {
        if self
            .slots
            .back()
            .is_none_or(|slot| slot.duration_ms >= SLOT_MS)
        {
            self.slots.push_back(Slot::default());
        }
        let slot = self.slots.back_mut().expect("one was pushed if none was");
        slot.duration_ms += interval.duration_ms;
        slot.all.add(&interval.all);
        for stats in interval.requests.iter().filter(|stats| stats.requests > 0) {
            let next = self.endpoints.len();
            let number = *self.endpoints.entry(endpoint(stats)).or_insert(next);
            if slot.endpoints.len() <= number {
                slot.endpoints.resize_with(number + 1, Count::default);
            }
            slot.endpoints[number].add(stats);
        }
        // The oldest goes once more than half of it is too old.
        while self.slots.len() > 1 && self.duration_ms() - self.slots[0].duration_ms / 2.0 > SPAN_MS
        {
            self.slots.pop_front();
        }
    }

    /// The rates of all requests together.
    pub fn all(&self) -> Rates {
        self.rates(|slot| slot.all)
    }

    /// The rates of the requests of one method and name.
    pub fn endpoint(&self, stats: &RequestStats) -> Rates {
        match self.endpoints.get(&endpoint(stats)) {
            Some(number) => {
                self.rates(|slot| slot.endpoints.get(*number).copied().unwrap_or_default())
            }
            None => Rates::default(),
        }
    }

    fn rates(&self, count: impl Fn(&Slot) -> Count) -> Rates {
        let seconds = self.duration_ms() / 1e3;
        if seconds <= 0.0 {
            return Rates::default();
        }
        let sum = |number: fn(Count) -> u64| -> u64 {
            self.slots.iter().map(|slot| number(count(slot))).sum()
        };
        Rates {
            requests: sum(|count| count.requests) as f64 / seconds,
            failures: sum(|count| count.failures) as f64 / seconds,
        }
    }

    fn duration_ms(&self) -> f64 {
        self.slots.iter().map(|slot| slot.duration_ms).sum()
    }
}

/// What tells endpoints apart: a method holds no space.
fn endpoint(stats: &RequestStats) -> String {
    format!("{} {}", stats.method, stats.name)
}
