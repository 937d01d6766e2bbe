//! The queues between whoever makes events and the recorders.
//!
//! One queue for each recorder. It is unbounded by itself and bounded by
//! counting what is in it, a count for each class of event:
//!
//! | class | at most | why |
//! |---|---|---|
//! | single measurements | [`MEASUREMENTS`] | a flood, which must push out nothing else |
//! | aggregates | [`AGGREGATES`] | two in an interval; a recorder so far behind hangs |
//! | life cycle | – | a handful in a run |
//!
//! All share one channel, so their order stays. What finds its class full is
//! dropped and counted, and [`EventKind::EventsDropped`] stands in the queue
//! before the next event, which is where the gap is.
//!
//! A thread that measures much hands single measurements over many at a time
//! (see [`gathered`](super::gathered)).

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::batch::{Batch, Class, Piece, class, gap_before};
use super::gathered;
use super::measured::{Measured, MeasurementKind, Moment, Row, Table};
use crate::event::{Event, EventKind, Interests};

/// How many single measurements wait for a recorder.
pub(super) const MEASUREMENTS: usize = 16 << 10;

/// How many single measurements are enough for a recorder to take them at once: the
/// rest of the room is for those that are made until it is awake.
const ENOUGH: usize = MEASUREMENTS / 4;

/// How many aggregates wait for a recorder.
pub(super) const AGGREGATES: usize = 256;

/// Where events are published. Cloning it gives another handle on the same
/// recorders.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    /// What any recorder wants.
    wanted: AtomicU32,
    queues: Vec<Arc<Queue>>,
    changing: Mutex<()>,
}

impl Feed {
    /// A feed that nobody reads.
    pub fn none() -> Self {
        Self::new(Vec::new())
    }

    pub(super) fn new(queues: Vec<Arc<Queue>>) -> Self {
        let feed = Self(Arc::new(Shared {
            wanted: AtomicU32::new(0),
            queues,
            changing: Mutex::new(()),
        }));
        feed.update();
        feed
    }

    /// Whether any recorder wants any of these events: one load. Those who
    /// publish ask first, and make no event that nobody wants.
    #[inline]
    pub fn wants(&self, interests: Interests) -> bool {
        self.0.wanted.load(Ordering::Relaxed) & interests.0 != 0
    }

    /// Whether to make a single measurement of this kind: whether any recorder
    /// wants it and has room for it. If all that want it are full it counts as
    /// dropped, and whoever measures is spared the making of it.
    #[inline]
    pub fn admits(&self, interest: Interests) -> bool {
        self.wants(interest) && self.has_room(interest)
    }

    fn has_room(&self, interest: Interests) -> bool {
        let wanting = || self.0.queues.iter().filter(|q| q.accepts(interest));
        if wanting().any(|queue| queue.measurements.load(Ordering::Relaxed) < MEASUREMENTS) {
            return true;
        }
        wanting().for_each(|queue| queue.drop_one());
        false
    }

    /// Whether any recorder wants statistics at this interval.
    pub fn wants_stats(&self, interval: Duration) -> bool {
        let mut queues = self.0.queues.iter();
        queues.any(|queue| queue.stats_interval == interval && queue.accepts(Interests::STATS))
    }

    /// The intervals at which recorders get statistics, each once.
    pub fn stats_intervals(&self) -> Vec<Duration> {
        let mut intervals: Vec<_> = self.0.queues.iter().map(|q| q.stats_interval).collect();
        intervals.sort();
        intervals.dedup();
        intervals
    }

    /// Hands an event to every recorder that wants it. Never blocks. A single
    /// measurement may be handed over some time later, if its thread gathers
    /// them.
    pub fn publish(&self, event: Event) {
        if Table::holds(&event.kind) {
            return self.measure(Moment::of(&event), |row| row.event(&event.kind));
        }
        if class(&event.kind) == Class::Measurement {
            // Those before it come before it.
            gathered::hand_over();
        }
        self.publish_to(event, |_| true);
    }

    /// Writes a single measurement for every recorder that wants it, and hands it
    /// over as [`publish`](Self::publish) does. Never blocks.
    pub fn measure(&self, moment: Moment<'_>, write: impl FnOnce(&mut Row<'_>) -> MeasurementKind) {
        gathered::write(self, moment, write);
    }

    /// Hands single measurements to every recorder that wants them, each those
    /// it wants. Never blocks.
    pub(super) fn publish_measured(&self, measured: Measured) {
        let measured = Arc::new(measured);
        for queue in self.0.queues.iter().filter(|queue| queue.is_in_use()) {
            queue.push_measured(&measured);
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Hands an event to those that want it of the recorders with this stats
    /// interval: statistics, and what holds them. Never blocks.
    pub fn publish_at(&self, interval: Duration, event: Event) {
        self.publish_to(event, |queue| queue.stats_interval == interval);
    }

    fn publish_to(&self, event: Event, whom: impl Fn(&Queue) -> bool) {
        let interest = event.kind.interest();
        let mut queues = self
            .0
            .queues
            .iter()
            .filter(|queue| queue.accepts(interest) && whom(queue))
            .peekable();
        while let Some(queue) = queues.next() {
            if queues.peek().is_none() {
                queue.push(event);
                return;
            }
            queue.push(event.clone());
        }
    }

    /// Sets what the recorder behind a queue wants; `None` if it is left out of
    /// the rest of the run.
    pub(super) fn set_interests(&self, queue: &Queue, interests: Option<Interests>) {
        let bits = interests.map_or(0, |interests| interests.0 | Queue::IN_USE);
        queue.interests.store(bits, Ordering::Relaxed);
        self.update();
    }

    fn update(&self) {
        let _changing = self
            .0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let wanted = self.0.queues.iter().fold(0, |wanted, queue| {
            wanted | queue.interests.load(Ordering::Relaxed)
        });
        self.0.wanted.store(wanted, Ordering::Relaxed);
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("recorders", &self.0.queues.len())
            .finish_non_exhaustive()
    }
}

/// What is sent to a recorder's thread: by everyone who publishes, to the one
/// thread that holds the [`Inbox`].
#[derive(Debug)]
enum Message {
    Event(Event),
    /// Single measurements of one thread: so many of those that are of interest.
    Measured(Arc<Measured>, Interests, usize),
    /// Nothing comes after it.
    Finish,
}

/// The writing end of a recorder's queue.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Message>,
    /// How often the recorder gets statistics.
    stats_interval: Duration,
    /// What the recorder wants, with [`Queue::IN_USE`].
    interests: AtomicU32,
    measurements: AtomicUsize,
    aggregates: AtomicUsize,
    /// Dropped since the queue last said so.
    untold: AtomicU64,
    /// Dropped at all.
    dropped: AtomicU64,
    bell: Bell,
}

/// Wakes a recorder that waits for others to come.
#[derive(Debug, Default)]
struct Bell {
    rings: Mutex<bool>,
    rang: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rang.notify_one();
    }

    /// Blocks until it rings, or rang since the last call, and so long at most. Whether
    /// it rang.
    fn wait(&self, longest: Duration) -> bool {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .rang
            .wait_timeout_while(rings, longest, |rings| !*rings);
        let (mut rings, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rings)
    }
}

impl Queue {
    /// Set while the recorder takes part in the run. No interest uses the bit.
    const IN_USE: u32 = 1 << 31;

    pub(super) fn new(stats_interval: Duration) -> (Arc<Self>, Inbox) {
        let (sender, receiver) = mpsc::channel();
        let queue = Arc::new(Self {
            sender,
            stats_interval,
            interests: AtomicU32::new(0),
            measurements: AtomicUsize::new(0),
            aggregates: AtomicUsize::new(0),
            untold: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bell: Bell::default(),
        });
        let inbox = Inbox {
            receiver,
            queue: queue.clone(),
        };
        (queue, inbox)
    }

    fn accepts(&self, interest: Interests) -> bool {
        self.is_in_use() && self.interests().contains(interest)
    }

    fn is_in_use(&self) -> bool {
        self.interests.load(Ordering::Relaxed) & Self::IN_USE != 0
    }

    fn interests(&self) -> Interests {
        Interests(self.interests.load(Ordering::Relaxed))
    }

    fn push(&self, event: Event) {
        let mut is_urgent = class(&event.kind) != Class::Measurement;
        if let Some((count, limit)) = self.count(&event.kind) {
            let before = count.fetch_add(1, Ordering::Relaxed);
            if before >= limit {
                count.fetch_sub(1, Ordering::Relaxed);
                return self.drop_one();
            }
            is_urgent |= before + 1 == ENOUGH;
        }
        self.tell_gap(|dropped| gap_before(&event, dropped));
        self.send(Message::Event(event));
        if is_urgent {
            self.bell.ring();
        }
    }

    /// Takes what it wants of single measurements, as far as there is room: the
    /// last ones are dropped.
    fn push_measured(&self, measured: &Arc<Measured>) {
        let interests = self.interests();
        let wanted = measured.wanted(interests);
        if wanted == 0 {
            return;
        }
        let before = self.measurements.fetch_add(wanted, Ordering::Relaxed);
        let taken = wanted.min(MEASUREMENTS.saturating_sub(before));
        if taken > 0 {
            self.tell_gap(|dropped| measured.gap_before(dropped));
            self.send(Message::Measured(measured.clone(), interests, taken));
            if before < ENOUGH && before + taken >= ENOUGH {
                self.bell.ring();
            }
        }
        if taken < wanted {
            let without = wanted - taken;
            self.measurements.fetch_sub(without, Ordering::Relaxed);
            self.drop_some(without as u64);
        }
    }

    /// Says that others were dropped before what comes next, if they were.
    fn tell_gap(&self, gap: impl FnOnce(u64) -> Event) {
        if self.untold.load(Ordering::Relaxed) > 0 {
            let dropped = self.untold.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                self.send(Message::Event(gap(dropped)));
            }
        }
    }

    fn drop_one(&self) {
        self.drop_some(1);
    }

    fn drop_some(&self, events: u64) {
        self.untold.fetch_add(events, Ordering::Relaxed);
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    fn send(&self, message: Message) {
        // Without a receiver the recorder has ended, which its outcome tells.
        let _ = self.sender.send(message);
    }

    /// Tells the recorder's thread to end once it has come this far.
    pub(super) fn finish(&self) {
        let _ = self.sender.send(Message::Finish);
        self.bell.ring();
    }

    /// How many events of the class are waiting, and how many may.
    fn count(&self, kind: &EventKind) -> Option<(&AtomicUsize, usize)> {
        match class(kind) {
            Class::LifeCycle => None,
            Class::Aggregate => Some((&self.aggregates, AGGREGATES)),
            Class::Measurement => Some((&self.measurements, MEASUREMENTS)),
        }
    }

    /// How many events the recorder did not get.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many events wait, but for those of the life cycle.
    pub(super) fn waiting(&self) -> u64 {
        let waiting =
            self.measurements.load(Ordering::Relaxed) + self.aggregates.load(Ordering::Relaxed);
        waiting as u64
    }

    /// Counts events that were lost after they left the queue.
    pub(super) fn count_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }
}

/// The reading end of a recorder's queue.
pub(super) struct Inbox {
    receiver: mpsc::Receiver<Message>,
    queue: Arc<Queue>,
}

/// Whether there is more to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be.
    More,
    /// There is not.
    Finish,
}

impl Inbox {
    /// Waits for an event and appends it with those that are behind it, until
    /// there are `limit`. What was handed over together stays together, and may
    /// go beyond that. Nothing is appended if the queue ends before.
    pub(super) fn take(&self, batch: &mut Batch, limit: usize) -> Next {
        match self.receiver.recv() {
            Ok(Message::Event(event)) => self.took(batch, event),
            Ok(Message::Measured(all, of, count)) => self.took_measured(batch, all, of, count),
            Ok(Message::Finish) | Err(mpsc::RecvError) => return Next::Finish,
        }
        self.take_more(batch, limit)
    }

    /// Waits for more single measurements: so long at most, and until there are many
    /// of them, or something else. Whether there are.
    pub(super) fn linger(&self, longest: Duration) -> bool {
        self.queue.bell.wait(longest)
    }

    /// Appends what is there, without waiting.
    pub(super) fn take_more(&self, batch: &mut Batch, limit: usize) -> Next {
        while batch.len() < limit {
            match self.receiver.try_recv() {
                Ok(Message::Event(event)) => self.took(batch, event),
                Ok(Message::Measured(all, of, count)) => self.took_measured(batch, all, of, count),
                Ok(Message::Finish) | Err(mpsc::TryRecvError::Disconnected) => return Next::Finish,
                Err(mpsc::TryRecvError::Empty) => break,
            }
        }
        Next::More
    }

    fn took(&self, batch: &mut Batch, event: Event) {
        if let Some((count, _)) = self.queue.count(&event.kind) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        batch.push(event);
    }

    /// Leaves out what the recorder did not want, or had no room for: here, where
    /// the load does not wait for it.
    fn took_measured(&self, batch: &mut Batch, all: Arc<Measured>, of: Interests, count: usize) {
        let waiting = &self.queue.measurements;
        waiting.fetch_sub(count, Ordering::Relaxed);
        let taken = match count == all.all().len() {
            true => Some(all),
            false => all.first_of(of, count).map(Arc::new),
        };
        if let Some(taken) = taken {
            batch.push_piece(Piece::Measured(taken));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{Check, Origin, Stats, SystemUsage};

    const INTERVAL: Duration = Duration::from_secs(2);

    pub(crate) fn event(kind: EventKind) -> Event {
        Event {
            time_ms: 1.0,
            elapsed: Duration::ZERO,
            node: "standalone".into(),
            kind,
        }
    }

    pub(crate) fn check(number: u32) -> Event {
        event(EventKind::Check(Box::new(Check {
            origin: Origin {
                scenario: "default".into(),
                vu: number,
                iteration: 0,
            },
            name: "ok".into(),
            passed: true,
            tags: Vec::new(),
        })))
    }

    pub(crate) fn system() -> Event {
        event(EventKind::System(SystemUsage::default()))
    }

    pub(crate) fn feed(interests: Interests) -> (Feed, Arc<Queue>, Inbox) {
        let (queue, inbox) = Queue::new(INTERVAL);
        let feed = Feed::new(vec![queue.clone()]);
        feed.set_interests(&queue, Some(interests));
        (feed, queue, inbox)
    }

    pub(crate) fn taken(inbox: &Inbox) -> Vec<Event> {
        let mut batch = Batch::default();
        inbox.take_more(&mut batch, usize::MAX);
        batch.events().collect()
    }

    #[test]
    fn a_recorder_waits_for_more_until_there_are_many_or_something_else() {
        let (feed, queue, inbox) = feed(Interests::CHECKS.with(Interests::SYSTEM));
        let rang = || inbox.linger(Duration::ZERO);
        let some = u32::try_from(ENOUGH).expect("it is few") - 3;
        (0..some).for_each(|number| feed.publish(check(number)));
        assert!(!rang());
        let gathering = gathered::begin(feed.clone());
        (0..4).for_each(|number| feed.publish(check(number)));
        assert!(!rang());
        gathered::hand_over();
        assert!(rang() && !rang());
        // It is told once, and again when it has caught up.
        feed.publish(check(0));
        drop(gathering);
        assert!(!rang());
        assert_eq!(taken(&inbox).len(), ENOUGH + 2);
        (0..=some + 2).for_each(|number| feed.publish(check(number)));
        assert!(rang());
        feed.publish(system());
        assert!(rang());
        feed.publish(event(EventKind::RunStarted));
        assert!(rang() && !rang());
        queue.finish();
        assert!(rang());
    }

    #[test]
    fn a_recorder_that_waits_for_more_is_woken() {
        let (feed, _queue, inbox) = feed(Interests::SYSTEM);
        let waits = std::thread::spawn(move || inbox.linger(Duration::from_secs(600)));
        feed.publish(system());
        assert!(waits.join().expect("it does not panic"));
    }

    #[test]
    fn only_what_is_wanted_is_delivered() {
        let (feed, queue, inbox) = feed(Interests::CHECKS);
        assert!(feed.wants(Interests::CHECKS));
        assert!(!feed.wants(Interests::REQUESTS));
        feed.publish(check(1));
        feed.publish(system());
        feed.publish(event(EventKind::RunStarted));
        assert_eq!(taken(&inbox).len(), 2);
        assert_eq!(queue.dropped(), 0);

        feed.set_interests(&queue, None);
        assert!(!feed.wants(Interests::CHECKS));
        feed.publish(event(EventKind::RunStarted));
        assert_eq!(taken(&inbox).len(), 0);
    }

    #[test]
    fn nobody_wants_anything_of_no_recorder() {
        let feed = Feed::none();
        assert!(!feed.wants(Interests(u32::MAX)));
        feed.publish(check(1));
    }

    #[test]
    fn each_recorder_gets_its_own() {
        let (first, first_inbox) = Queue::new(INTERVAL);
        let (second, second_inbox) = Queue::new(INTERVAL);
        let feed = Feed::new(vec![first.clone(), second.clone()]);
        feed.set_interests(&first, Some(Interests::CHECKS));
        feed.set_interests(&second, Some(Interests::CHECKS.with(Interests::SYSTEM)));
        feed.publish(check(1));
        feed.publish(system());
        assert_eq!(taken(&first_inbox).len(), 1);
        assert_eq!(taken(&second_inbox).len(), 2);
    }

    #[test]
    fn statistics_go_to_those_who_have_the_interval() {
        let own = Duration::from_secs(10);
        let (first, first_inbox) = Queue::new(INTERVAL);
        let (second, second_inbox) = Queue::new(own);
        let (third, third_inbox) = Queue::new(own);
        let feed = Feed::new(vec![first.clone(), second.clone(), third.clone()]);
        feed.set_interests(&first, Some(Interests::STATS));
        feed.set_interests(&second, Some(Interests::STATS));
        feed.set_interests(&third, Some(Interests::SYSTEM));
        assert_eq!(feed.stats_intervals(), [INTERVAL, own]);
        assert!(feed.wants_stats(own));
        assert!(!feed.wants_stats(Duration::from_secs(3)));
        feed.publish_at(own, event(EventKind::Stats(Arc::new(Stats::default()))));
        feed.publish(event(EventKind::RunStarted));
        assert_eq!(taken(&first_inbox).len(), 1);
        assert_eq!(taken(&second_inbox).len(), 2);
        assert_eq!(taken(&third_inbox).len(), 1);
        feed.set_interests(&second, None);
        assert!(!feed.wants_stats(own));
    }

    #[test]
    fn what_would_be_dropped_is_not_made_and_counts_as_dropped() {
        let (full, full_inbox) = Queue::new(INTERVAL);
        let (other, other_inbox) = Queue::new(INTERVAL);
        let feed = Feed::new(vec![full.clone(), other.clone()]);
        feed.set_interests(&full, Some(Interests::CHECKS));
        assert!(!feed.admits(Interests::REQUESTS));
        for number in 0..MEASUREMENTS as u32 {
            assert!(feed.admits(Interests::CHECKS));
            feed.publish(check(number));
        }
        assert!(!feed.admits(Interests::CHECKS));
        assert_eq!((full.dropped(), other.dropped()), (1, 0));
        // One that has room gets it, and the other one is told of the gap.
        feed.set_interests(&other, Some(Interests::CHECKS));
        assert!(feed.admits(Interests::CHECKS));
        feed.publish(check(0));
        assert_eq!((full.dropped(), other.dropped()), (2, 0));
        assert_eq!(taken(&other_inbox).len(), 1);
        feed.publish(event(EventKind::RunStarted));
        let events = taken(&full_inbox);
        assert!(matches!(
            events[MEASUREMENTS].kind,
            EventKind::EventsDropped(2)
        ));
    }

    #[test]
    fn a_flood_is_dropped_and_counted_where_the_gap_is() {
        let (feed, queue, inbox) = feed(Interests::CHECKS.with(Interests::SYSTEM));
        for number in 0..MEASUREMENTS as u32 + 7 {
            feed.publish(check(number));
        }
        // These have room of their own.
        feed.publish(system());
        feed.publish(event(EventKind::RunStarted));
        assert_eq!(queue.dropped(), 7);

        let events = taken(&inbox);
        assert_eq!(events.len(), MEASUREMENTS + 3);
        let kinds: Vec<_> = events[MEASUREMENTS..].iter().map(|e| &e.kind).collect();
        assert!(
            matches!(
                kinds[..],
                [
                    EventKind::EventsDropped(7),
                    EventKind::System(_),
                    EventKind::RunStarted
                ]
            ),
            "{kinds:?}"
        );
        // There is room again.
        feed.publish(check(0));
        assert_eq!(taken(&inbox).len(), 1);
        assert_eq!(queue.dropped(), 7);
    }

    #[test]
    fn a_recorder_that_hangs_does_not_hoard_aggregates() {
        let (feed, queue, inbox) = feed(Interests::SYSTEM);
        for _ in 0..AGGREGATES + 5 {
            feed.publish(system());
        }
        assert_eq!(queue.dropped(), 5);
        assert_eq!(queue.waiting(), AGGREGATES as u64);
        assert_eq!(taken(&inbox).len(), AGGREGATES);
    }

    #[test]
    fn nothing_is_lost_or_counted_twice_when_many_publish() {
        let (feed, queue, inbox) = feed(Interests::CHECKS);
        const EACH: u64 = 20_000;
        let mut batch = Batch::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..EACH).for_each(|_| feed.publish(check(0))));
            }
        });
        queue.finish();
        while inbox.take(&mut batch, usize::MAX) != Next::Finish {}
        let told: u64 = batch.pieces().iter().map(Piece::stands_for).sum();
        let untold = queue.untold.load(Ordering::Relaxed);
        assert_eq!(told + untold, 4 * EACH);
        assert_eq!(queue.waiting(), 0);
    }
}
