//! The threads of the recorders.
//!
//! Each recorder has an OS thread, so that neither a slow recorder nor a
//! blocked sink is felt by anyone else, of a [`priority`](super::priority) below
//! the load's. What a thread does with a batch:
//!
//! | the recorder | then |
//! |---|---|
//! | returns entries | they are checked and written, a line each |
//! | returns an entry that is no JSON object, or is too long | the entry is left out and counted; the recorder goes on, since what it holds is sound and would be lost |
//! | fails | it starts afresh, and gets the batch again without the single measurements, which are counted as dropped |
//! | fails with that too | it starts afresh, and the batch is counted as dropped |
//! | has no restart left, or its sink fails | it is left out of the rest of the run |
//!
//! A failure is told when it happens, unless it is the last one over again, and
//! at the end.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{Batch, Class, Piece};
use super::feed::{Inbox, Next, Queue};
use super::priority::Priority;
use super::{Feed, Recorder, RecorderError, RecorderOutcome, RunInfo, Setup, entry};
use crate::error::{Error, Problem};
use crate::sink::{Ledger, Sink, Stopped, count_lines, fitting};
use crate::units::Pretty;

/// How many events a recorder gets at once: as many as stay, with the lines made
/// of them, in a core's cache.
pub(super) const BATCH: usize = 256;

/// How long a recorder that has caught up waits for more single measurements, unless
/// many come or something else happens: each time its thread wakes, its code and its
/// memory have left the core's cache.
pub(super) const LINGER: Duration = Duration::from_millis(100);

/// How often a recorder starts afresh after a failure.
const RESTARTS: u32 = 3;

/// The recorders of a run. Dropping them ends them without their `finish`, and
/// writes nothing more.
#[derive(Debug)]
pub struct Recorders {
    tasks: Vec<Task>,
}

impl Recorders {
    /// Starts the recorders, each on its thread, and waits until all have
    /// started.
    ///
    /// # Errors
    ///
    /// If one of them refuses or fails to start.
    pub fn start(setups: Vec<Setup>, run: &RunInfo) -> Result<(Self, Feed), Error> {
        let interval = |setup: &Setup| setup.stats_interval.unwrap_or(run.stats_interval);
        let (queues, inboxes): (Vec<_>, Vec<_>) = setups
            .iter()
            .map(|setup| Queue::new(interval(setup)))
            .unzip();
        let feed = Feed::new(queues.clone());
        let mut recorders = Self { tasks: Vec::new() };
        let mut starting = Vec::new();
        for ((setup, queue), inbox) in setups.into_iter().zip(queues).zip(inboxes) {
            let tally = Arc::new(Tally {
                ledger: setup.sink.ledger(),
                ..Tally::default()
            });
            let stats_interval = interval(&setup);
            let worker = Worker {
                name: setup.name.clone(),
                recorder: setup.recorder,
                sink: setup.sink,
                run: RunInfo {
                    options: setup.options,
                    stats_interval,
                    ..run.clone()
                },
                feed: feed.clone(),
                queue: queue.clone(),
                inbox,
                tally: tally.clone(),
                restarts: RESTARTS,
            };
            let (started, is_started) = mpsc::channel();
            let (done, is_done) = mpsc::channel();
            let thread = thread::Builder::new()
                .name(format!("recorder-{}", setup.name))
                .spawn(move || {
                    worker.run(&started, Priority::begin());
                    drop(done);
                })
                .map_err(|error| {
                    Error::Machine(Problem::new(format!(
                        "cannot start a thread for the recorder `{}`: {error}",
                        setup.name
                    )))
                })?;
            starting.push(is_started);
            recorders.tasks.push(Task {
                name: setup.name,
                queue,
                tally,
                is_done,
                thread: Some(thread),
            });
        }
        for (task, is_started) in recorders.tasks.iter().zip(starting) {
            let result = is_started
                .recv()
                .unwrap_or_else(|_| Err(RecorderError::Trapped("its thread panicked".to_owned())));
            result.map_err(|error| {
                Error::Component(Problem::new(format!(
                    "the recorder `{}` cannot be used: {error}",
                    task.name
                )))
            })?;
        }
        Ok((recorders, feed))
    }

    /// Lets the recorders come to the end of their queues and finish, and says
    /// what came of them, in the order in which they were given. Blocks until
    /// all have ended, `patience` at most; what is then left is counted, and
    /// nothing more is written.
    pub fn finish(mut self, patience: Duration) -> Vec<RecorderOutcome> {
        let deadline = Instant::now() + patience;
        for task in &self.tasks {
            task.queue.finish();
        }
        self.tasks
            .iter_mut()
            .map(|task| task.outcome(deadline, patience))
            .collect()
    }
}

impl Drop for Recorders {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.tally.abandon();
            task.queue.finish();
        }
    }
}

/// The near end of a recorder's thread.
#[derive(Debug)]
struct Task {
    name: String,
    queue: Arc<Queue>,
    tally: Arc<Tally>,
    /// Hangs up when the thread has ended.
    is_done: mpsc::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Task {
    fn outcome(&mut self, deadline: Instant, patience: Duration) -> RecorderOutcome {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut unhandled = 0;
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.is_done.recv_timeout(left) {
            self.tally.abandon();
            unhandled = self.queue.waiting() + self.tally.in_hand.load(Ordering::Relaxed);
            let before = self.tally.last_failure();
            let (ledger, patience) = (&self.tally.ledger, Pretty(patience));
            let late = if ledger.is_at_work() {
                let place = ledger.place();
                format!("`{place}` did not take the rest of its log entries within {patience}")
            } else {
                format!("it did not finish within {patience}")
            };
            let before = before.map(|before| format!("; before that: {before}"));
            self.tally.fail(late + &before.unwrap_or_default());
        } else if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            unhandled = self.queue.waiting() + self.tally.in_hand.load(Ordering::Relaxed);
            self.tally.fail("its thread panicked".to_owned());
        }
        let tally = &self.tally;
        let taken = tally.written.load(Ordering::Relaxed);
        let entries_written = taken.saturating_sub(tally.ledger.unwritten());
        let entries_lost = tally.valid.load(Ordering::Relaxed) - entries_written;
        RecorderOutcome {
            name: self.name.clone(),
            entries_written,
            entries_invalid: tally.invalid.load(Ordering::Relaxed),
            first_invalid: tally.first_invalid.get().cloned(),
            restarts: tally.restarts.load(Ordering::Relaxed),
            entries_lost,
            entries_lost_because: tally.ledger.cause().filter(|_| entries_lost > 0),
            events_dropped: self.queue.dropped() + unhandled,
            failure: tally.last_failure(),
        }
    }
}

/// What a recorder's thread has done so far; read when it is over or given up.
#[derive(Debug, Default)]
struct Tally {
    /// Entries that were to be written.
    valid: AtomicU64,
    /// Entries that the sink took. Which of them it did not write, the ledger
    /// tells.
    written: AtomicU64,
    ledger: Arc<Ledger>,
    invalid: AtomicU64,
    first_invalid: OnceLock<String>,
    restarts: AtomicU32,
    /// Events the recorder is handling now.
    in_hand: AtomicU64,
    failure: Mutex<Option<String>>,
    /// Set when nobody waits for the thread any more: it writes nothing from
    /// then on.
    abandoned: AtomicBool,
}

impl Tally {
    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.ledger.abandon();
    }

    fn last_failure(&self) -> Option<String> {
        let last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    /// Keeps a failure. Whether it is another one than the last.
    fn fail(&self, failure: String) -> bool {
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.as_ref() != Some(&failure);
        *last = Some(failure);
        is_news
    }
}

/// What a recorder's thread owns.
struct Worker {
    name: String,
    recorder: Box<dyn Recorder>,
    sink: Box<dyn Sink>,
    run: RunInfo,
    feed: Feed,
    queue: Arc<Queue>,
    inbox: Inbox,
    tally: Arc<Tally>,
    restarts: u32,
}

/// The recorder is left out of the rest of the run.
struct LeftOut;

impl Worker {
    fn run(mut self, started: &mpsc::Sender<Result<(), RecorderError>>, priority: Priority) {
        let result = self.recorder.start(&self.run);
        let interests = result.as_ref().ok().copied();
        self.feed.set_interests(&self.queue, interests);
        // Whoever waits for it has not gone away: it is blocked on it.
        let _ = started.send(result.map(|_| ()));
        if interests.is_none() {
            return;
        }
        if let Err(LeftOut) = self.handle_all(priority) {
            self.feed.set_interests(&self.queue, None);
            // It takes part no longer, so this is all that is still to come.
            let mut rest = Batch::default();
            self.inbox.take_more(&mut rest, usize::MAX);
            self.queue.count_dropped(rest.count());
        }
        if !self.is_abandoned() {
            self.sink.finish();
        }
    }

    fn handle_all(&mut self, mut priority: Priority) -> Result<(), LeftOut> {
        let mut batch = Batch::default();
        loop {
            priority.look();
            batch.clear();
            let mut next = self.inbox.take(&mut batch, BATCH);
            let only_measurements = batch.pieces().iter().all(is_measurement);
            if next == Next::More && batch.len() < BATCH && only_measurements {
                self.inbox.linger(LINGER);
                next = self.inbox.take_more(&mut batch, BATCH);
            }
            if self.is_abandoned() {
                return Err(LeftOut);
            }
            if !batch.is_empty() {
                self.in_hand(batch.count());
                let handled = self.handle(&batch);
                self.in_hand(0);
                handled?;
            }
            if next == Next::Finish {
                return match self.recorder.finish() {
                    Ok(entries) => self.write(&entries),
                    Err(error) => {
                        tracing::warn!(recorder = self.name, %error, "a recorder failed at the end");
                        self.tally.fail(error.to_string());
                        Ok(())
                    }
                };
            }
        }
    }

    fn handle(&mut self, batch: &Batch) -> Result<(), LeftOut> {
        let mut error = match self.recorder.handle(batch) {
            Ok(entries) => return self.write(&entries),
            Err(error) => error,
        };
        let pieces = batch.pieces();
        let (single, rest): (Vec<_>, Vec<_>) = pieces.iter().partition(|it| is_measurement(it));
        let mut attempts = Vec::new();
        if !single.is_empty() && !rest.is_empty() {
            attempts.push((single, rest));
        }
        attempts.push((pieces.iter().collect(), Vec::new()));
        for (lost, rest) in attempts {
            if let Err(LeftOut) = self.restart(error) {
                self.queue.count_dropped(batch.count());
                return Err(LeftOut);
            }
            let missing = lost.iter().map(|piece| piece.stands_for()).sum();
            let mut again = Batch::default();
            again.push(pieces[0].gap_before(missing));
            for piece in rest {
                again.push_piece(piece.clone());
            }
            match self.recorder.handle(&again) {
                Ok(entries) => {
                    let lost = lost.iter().map(|piece| piece.count()).sum();
                    self.queue.count_dropped(lost);
                    return self.write(&entries);
                }
                Err(next) => error = next,
            }
        }
        // It cannot handle anything at all.
        self.queue.count_dropped(batch.count());
        self.restart(error)
    }

    /// Tells of a failure and starts the recorder afresh.
    fn restart(&mut self, mut error: RecorderError) -> Result<(), LeftOut> {
        loop {
            if self.restarts == 0 {
                tracing::warn!(
                    recorder = self.name, %error,
                    "a recorder failed too often and is left out of the rest of the run",
                );
                self.tally
                    .fail(format!("{error}; it was left out of the rest of the run"));
                return Err(LeftOut);
            }
            self.restarts -= 1;
            self.tally.restarts.fetch_add(1, Ordering::Relaxed);
            if self.tally.fail(error.to_string()) {
                tracing::warn!(recorder = self.name, %error, "a recorder failed and starts afresh");
            }
            match self.recorder.start(&self.run) {
                Ok(interests) => {
                    self.feed.set_interests(&self.queue, Some(interests));
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }

    /// Checks entries and writes those that are valid.
    fn write(&mut self, returned: &[String]) -> Result<(), LeftOut> {
        let is_page = |text: &String| text.ends_with('\n');
        if self.recorder.is_proven() && returned.iter().all(is_page) {
            return self.write_pages(returned);
        }
        let mut lines = Vec::with_capacity(returned.len());
        for entry in returned.iter().flat_map(|text| entry::split(text)) {
            self.check(entry, &mut lines);
        }
        self.returned(lines.len());
        let at_once = self.sink.at_once();
        let mut rest = &lines[..];
        while !rest.is_empty() {
            let (group, after) = rest.split_at(group(rest, at_once));
            rest = after;
            self.write_some(group.len(), |sink| sink.write_lines(group))?;
        }
        Ok(())
    }

    /// Writes lines that are surely valid, as they are.
    fn write_pages(&mut self, pages: &[String]) -> Result<(), LeftOut> {
        let at_once = self.sink.at_once();
        let mut parts = Vec::new();
        for page in pages {
            let mut rest = page.as_str();
            while !rest.is_empty() {
                let (lines, after) = rest.split_at(fitting(rest.as_bytes(), at_once));
                parts.push((lines, count_lines(lines.as_bytes())));
                rest = after;
            }
        }
        self.returned(parts.iter().map(|(_, count)| count).sum());
        for (lines, count) in parts {
            self.write_some(count, |sink| sink.write_text(lines))?;
        }
        Ok(())
    }

    /// So many entries are valid. Told before the first of them is written, so that
    /// those that are not are known wherever it ends.
    fn returned(&self, lines: usize) {
        self.tally.valid.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// Writes so many lines.
    fn write_some(
        &mut self,
        lines: usize,
        write: impl FnOnce(&mut dyn Sink) -> Result<(), Stopped>,
    ) -> Result<(), LeftOut> {
        if self.is_abandoned() {
            return Err(LeftOut);
        }
        let stopped = write(&mut *self.sink).err();
        let written = stopped.as_ref().map_or(lines, |stopped| stopped.written);
        self.tally
            .written
            .fetch_add(written as u64, Ordering::Relaxed);
        let Some(Stopped { error, .. }) = stopped else {
            return Ok(());
        };
        tracing::warn!(
            recorder = self.name, %error,
            "log entries cannot be written; their recorder is left out of the rest of the run",
        );
        self.tally
            .fail(format!("its log entries cannot be written: {error}"));
        Err(LeftOut)
    }

    /// Adds an entry to `lines`, or counts it as one that is not valid.
    fn check<'a>(&self, entry: &'a str, lines: &mut Vec<Cow<'a, str>>) {
        match entry::check(entry) {
            Ok(line) => lines.push(line),
            Err(reason) => {
                if self.tally.invalid.fetch_add(1, Ordering::Relaxed) == 0 {
                    let start: String = entry.chars().take(40).collect();
                    tracing::warn!(
                        recorder = self.name,
                        reason,
                        start,
                        "a recorder returned a log entry that cannot be written; \
                         further ones are only counted",
                    );
                    let first = format!("`{start}`: {reason}");
                    // Set by this thread alone, and once.
                    let _ = self.tally.first_invalid.set(first);
                }
            }
        }
    }

    fn in_hand(&self, events: u64) {
        self.tally.in_hand.store(events, Ordering::Relaxed);
    }

    fn is_abandoned(&self) -> bool {
        self.tally.abandoned.load(Ordering::Relaxed)
    }
}

/// How many of the first lines take no more than so many bytes with their line
/// breaks: one at least.
fn group(lines: &[Cow<'_, str>], bytes: usize) -> usize {
    let mut room = bytes;
    let fits = |line: &&Cow<'_, str>| {
        let left = room.checked_sub(line.len() + 1);
        room = left.unwrap_or(room);
        left.is_some()
    };
    lines.iter().take_while(fits).count().max(1)
}

fn is_measurement(piece: &Piece) -> bool {
    piece.class() == Class::Measurement
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Barrier;

    use super::super::Role;
    use super::super::feed::MEASUREMENTS;
    use super::super::feed::tests::{check, event, system};
    use super::*;
    use crate::event::{Event, EventKind, Interests};
    use crate::plan::SinkSpec;
    use crate::sink::{Streams, open};

    const PATIENCE: Duration = Duration::from_secs(60);

    type Answer<T> = Result<T, RecorderError>;
    type Handle = dyn FnMut(&Batch) -> Answer<Vec<String>> + Send;

    /// A recorder made of closures.
    struct Fake {
        start: Box<dyn FnMut() -> Answer<Interests> + Send>,
        handle: Box<Handle>,
        finish: Box<dyn FnMut() -> Answer<Vec<String>> + Send>,
    }

    impl Recorder for Fake {
        fn start(&mut self, _: &RunInfo) -> Result<Interests, RecorderError> {
            (self.start)()
        }

        fn handle(&mut self, events: &Batch) -> Result<Vec<String>, RecorderError> {
            (self.handle)(events)
        }

        fn finish(&mut self) -> Result<Vec<String>, RecorderError> {
            (self.finish)()
        }
    }

    /// One whose entries are known to be valid.
    struct Proven(Fake);

    impl Recorder for Proven {
        fn start(&mut self, run: &RunInfo) -> Result<Interests, RecorderError> {
            self.0.start(run)
        }

        fn handle(&mut self, events: &Batch) -> Result<Vec<String>, RecorderError> {
            self.0.handle(events)
        }

        fn finish(&mut self) -> Result<Vec<String>, RecorderError> {
            self.0.finish()
        }

        fn is_proven(&self) -> bool {
            true
        }
    }

    /// Returns an entry for each event.
    fn one_each() -> Fake {
        Fake {
            start: Box::new(|| Ok(Interests::CHECKS.with(Interests::SYSTEM))),
            handle: Box::new(|events| Ok(named(events))),
            finish: Box::new(|| Ok(vec![r#"{"e":"finish"}"#.to_owned()])),
        }
    }

    fn named(events: &Batch) -> Vec<String> {
        events.events().map(|event| name(&event.kind)).collect()
    }

    fn name(kind: &EventKind) -> String {
        match kind {
            EventKind::RunStarted => r#"{"e":"started"}"#.to_owned(),
            EventKind::System(_) => r#"{"e":"system"}"#.to_owned(),
            EventKind::Check(check) => format!(r#"{{"e":"check","vu":{}}}"#, check.origin.vu),
            EventKind::EventsDropped(count) => format!(r#"{{"e":"dropped","n":{count}}}"#),
            kind => panic!("not an event of these tests: {kind:?}"),
        }
    }

    fn trap<T>() -> Result<T, RecorderError> {
        Err(RecorderError::Trapped("unreachable".to_owned()))
    }

    /// Keeps what was written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<String>>>);

    impl Sink for Page {
        fn write_line(&mut self, line: &str) -> io::Result<()> {
            self.0.lock().expect("not poisoned").push(line.to_owned());
            Ok(())
        }
    }

    impl Page {
        fn lines(&self) -> Vec<String> {
            self.0.lock().expect("not poisoned").clone()
        }
    }

    /// Fails as a pipe does whose reader has gone, after some lines.
    struct Pipe(usize);

    impl Sink for Pipe {
        fn write_line(&mut self, _: &str) -> io::Result<()> {
            match self.0.checked_sub(1) {
                Some(left) => self.0 = left,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            Ok(())
        }
    }

    fn run_info() -> RunInfo {
        RunInfo {
            run_id: "1".to_owned(),
            test_plan: "test".to_owned(),
            host_version: "0.1.0".to_owned(),
            role: Role::Standalone,
            node: "standalone".into(),
            hostname: "here".to_owned(),
            process_id: 1,
            scenarios: vec!["default".into()],
            tags: Vec::new(),
            stats_interval: Duration::from_secs(2),
            plan: "{}".to_owned(),
            options: Vec::new(),
        }
    }

    fn start(recorder: impl Recorder + 'static, sink: impl Sink + 'static) -> (Recorders, Feed) {
        try_start(Box::new(recorder), sink).expect("starts")
    }

    fn try_start(
        recorder: Box<dyn Recorder>,
        sink: impl Sink + 'static,
    ) -> Result<(Recorders, Feed), Error> {
        let setup = Setup {
            name: "fake".to_owned(),
            recorder,
            sink: Box::new(sink),
            options: Vec::new(),
            stats_interval: None,
        };
        Recorders::start(vec![setup], &run_info())
    }

    fn finish(recorders: Recorders) -> RecorderOutcome {
        recorders.finish(PATIENCE).remove(0)
    }

    #[test]
    fn every_entry_becomes_a_line_in_order() {
        let page = Page::default();
        let (recorders, feed) = start(one_each(), page.clone());
        feed.publish(event(EventKind::RunStarted));
        for number in 0..3000 {
            feed.publish(check(number));
        }
        let outcome = finish(recorders);
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!(outcome.entries_written, 3002);
        let lines = page.lines();
        assert_eq!(lines[0], r#"{"e":"started"}"#);
        for number in 0..3000 {
            assert_eq!(
                lines[number + 1],
                format!(r#"{{"e":"check","vu":{number}}}"#)
            );
        }
        assert_eq!(lines[3001], r#"{"e":"finish"}"#);
    }

    #[test]
    fn a_recorder_that_refuses_ends_the_run_before_it_starts() {
        let mut refusing = one_each();
        refusing.start = Box::new(|| Err(RecorderError::Refused("no such option".to_owned())));
        let error = try_start(Box::new(refusing), Page::default()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the recorder `fake` cannot be used: it refused to start: no such option"
        );
    }

    #[test]
    fn a_slow_recorder_loses_measurements_and_nothing_else() {
        let (entered, has_entered) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let mut slow = one_each();
        slow.handle = Box::new(move |events| {
            // Nobody listens any more once the test has seen the first batch.
            let _ = entered.send(());
            // Hangs up when the recorder may go on for good.
            let _ = may_go_on.recv();
            Ok(named(events))
        });
        let page = Page::default();
        let (recorders, feed) = start(slow, page.clone());
        feed.publish(event(EventKind::RunStarted));
        has_entered.recv().expect("the recorder is at work");
        // It is at work on the first event while all these arrive.
        for number in 0..MEASUREMENTS as u32 + 100 {
            feed.publish(check(number));
        }
        feed.publish(system());
        feed.publish(event(EventKind::RunStarted));
        drop(go_on);
        let outcome = finish(recorders);
        assert_eq!((outcome.events_dropped, &outcome.failure), (100, &None));
        let lines = page.lines();
        assert_eq!(lines.len(), 1 + MEASUREMENTS + 4);
        assert_eq!(
            lines[1 + MEASUREMENTS..],
            [
                r#"{"e":"dropped","n":100}"#,
                r#"{"e":"system"}"#,
                r#"{"e":"started"}"#,
                r#"{"e":"finish"}"#,
            ]
        );
    }

    /// Publishes the events as one batch: the recorder is kept at work on an
    /// event before them until all are there.
    fn as_one_batch(fake: Fake, page: &Page, events: Vec<Event>) -> RecorderOutcome {
        let barrier = Arc::new(Barrier::new(2));
        let mut handle = fake.handle;
        let mut waits = Some(barrier.clone());
        let (recorders, feed) = start(
            Fake {
                handle: Box::new(move |events| match waits.take() {
                    Some(barrier) => {
                        barrier.wait();
                        barrier.wait();
                        Ok(Vec::new())
                    }
                    None => handle(events),
                }),
                ..fake
            },
            page.clone(),
        );
        feed.publish(event(EventKind::RunStarted));
        barrier.wait();
        events.into_iter().for_each(|event| feed.publish(event));
        barrier.wait();
        finish(recorders)
    }

    #[test]
    fn after_a_trap_the_life_cycle_is_told_again_and_measurements_are_counted() {
        let mut trapping = one_each();
        trapping.handle = Box::new(|events| {
            let poison = |event: &Event| matches!(event.kind, EventKind::Check(_));
            if events.events().any(|event| poison(&event)) {
                return trap();
            }
            Ok(named(events))
        });
        let page = Page::default();
        let outcome = as_one_batch(trapping, &page, vec![check(1), system(), check(2)]);
        assert_eq!(
            page.lines(),
            [
                r#"{"e":"dropped","n":2}"#,
                r#"{"e":"system"}"#,
                r#"{"e":"finish"}"#
            ]
        );
        assert_eq!(outcome.events_dropped, 2);
        assert_eq!(outcome.failure.as_deref(), Some("it stopped: unreachable"));
    }

    #[test]
    fn a_batch_that_cannot_be_handled_at_all_is_counted() {
        let mut trapping = one_each();
        trapping.handle = Box::new(|events| {
            let poison = |event: &Event| matches!(event.kind, EventKind::System(_));
            if events.events().any(|event| poison(&event)) {
                return trap();
            }
            Ok(named(events))
        });
        let page = Page::default();
        let outcome = as_one_batch(trapping, &page, vec![check(1), system(), check(2)]);
        assert_eq!(
            page.lines(),
            [r#"{"e":"dropped","n":3}"#, r#"{"e":"finish"}"#]
        );
        assert_eq!(outcome.events_dropped, 3);
    }

    #[test]
    fn a_recorder_that_fails_again_and_again_is_left_out() {
        let starts = Arc::new(AtomicU64::new(0));
        let counted = starts.clone();
        let mut trapping = one_each();
        trapping.start = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Interests::CHECKS)
        });
        let (entered, has_entered) = mpsc::channel();
        trapping.handle = Box::new(move |_| {
            // At the end nobody listens any more.
            let _ = entered.send(());
            trap()
        });
        trapping.finish = Box::new(|| panic!("it is left out"));
        let (recorders, feed) = start(trapping, Page::default());
        // It fails with each event and with being told that it is gone.
        feed.publish(check(1));
        has_entered.recv().expect("handles the event");
        has_entered.recv().expect("is told");
        feed.publish(check(2));
        let queue = recorders.tasks[0].queue.clone();
        // Its thread ends by itself.
        assert_eq!(
            recorders.tasks[0].is_done.recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
        assert!(!feed.wants(Interests::CHECKS));
        let outcome = finish(recorders);
        assert_eq!(starts.load(Ordering::Relaxed), 1 + u64::from(RESTARTS));
        assert_eq!(outcome.events_dropped, 2);
        assert_eq!(queue.waiting(), 0);
        let failure = outcome.failure.expect("it failed");
        assert_eq!(
            failure,
            "it stopped: unreachable; it was left out of the rest of the run"
        );
        assert_eq!(outcome.restarts, RESTARTS);
    }

    #[test]
    fn a_recorder_that_refuses_to_start_again_is_left_out() {
        let mut once = true;
        let mut refusing = one_each();
        refusing.start = Box::new(move || match std::mem::take(&mut once) {
            true => Ok(Interests::CHECKS),
            false => Err(RecorderError::Refused("not twice".to_owned())),
        });
        refusing.handle = Box::new(|_| trap());
        let (recorders, feed) = start(refusing, Page::default());
        feed.publish(check(1));
        let outcome = finish(recorders);
        assert_eq!((outcome.events_dropped, outcome.restarts), (1, RESTARTS));
        assert_eq!(
            outcome.failure.as_deref(),
            Some("it refused to start: not twice; it was left out of the rest of the run")
        );
    }

    #[test]
    fn a_recorder_that_hangs_does_not_hold_up_the_end() {
        let (entered, has_entered) = mpsc::channel();
        // Never sends: the recorder hangs until the test is over.
        let (_hold, held) = mpsc::channel::<()>();
        let mut hanging = one_each();
        hanging.handle = Box::new(move |events| {
            entered.send(()).expect("the test waits for it");
            let _ = held.recv();
            Ok(named(events))
        });
        let page = Page::default();
        let (recorders, feed) = start(hanging, page.clone());
        feed.publish(check(1));
        has_entered.recv().expect("the recorder is at work");
        feed.publish(check(2));
        feed.publish(system());
        let outcome = recorders.finish(Duration::from_millis(20)).remove(0);
        assert_eq!(
            outcome.failure.as_deref(),
            Some("it did not finish within 20ms")
        );
        assert_eq!(outcome.events_dropped, 3);
        assert!(page.lines().is_empty());
    }

    #[test]
    fn a_broken_pipe_is_the_recorders_failure_and_counted() {
        let (recorders, feed) = start(one_each(), Pipe(2));
        for number in 0..5 {
            feed.publish(check(number));
        }
        let outcome = finish(recorders);
        assert_eq!(outcome.entries_written, 2);
        assert!(outcome.entries_lost > 0);
        let failure = outcome.failure.expect("it failed");
        assert!(failure.contains("broken pipe"), "{failure}");
    }

    /// Returns two pages with four lines for each batch.
    fn pages() -> Proven {
        let mut recorder = one_each();
        recorder.handle = Box::new(|_| {
            let page = |lines: &[&str]| lines.join("\n") + "\n";
            Ok(vec![
                page(&["{}", "not looked at", "{\"a\":1}"]),
                page(&["{\"b\":2}"]),
            ])
        });
        recorder.finish = Box::new(|| Ok(Vec::new()));
        Proven(recorder)
    }

    #[test]
    fn pages_of_proven_entries_are_written_as_they_are_and_counted() {
        let page = Page::default();
        let (recorders, feed) = start(pages(), page.clone());
        feed.publish(event(EventKind::RunStarted));
        let outcome = finish(recorders);
        assert_eq!(
            page.lines(),
            ["{}", "not looked at", "{\"a\":1}", "{\"b\":2}"]
        );
        assert_eq!((outcome.entries_written, outcome.entries_lost), (4, 0));

        let (recorders, feed) = start(pages(), Pipe(2));
        feed.publish(event(EventKind::RunStarted));
        let outcome = finish(recorders);
        assert_eq!((outcome.entries_written, outcome.entries_lost), (2, 2));
    }

    #[test]
    fn what_a_sink_loses_is_counted_with_its_cause_and_the_recorder_goes_on() {
        let streams = Streams {
            stdout: Box::new(io::sink()),
            stderr: Box::new(io::sink()),
        };
        let full = SinkSpec::file("/dev/full".into());
        let mut sinks = open([Some(full)], streams).expect("opened");
        let setup = Setup {
            name: "fake".to_owned(),
            recorder: Box::new(one_each()),
            sink: sinks.remove(0),
            options: Vec::new(),
            stats_interval: None,
        };
        let (recorders, feed) = Recorders::start(vec![setup], &run_info()).expect("starts");
        for number in 0..5 {
            feed.publish(check(number));
        }
        let outcome = finish(recorders);
        assert_eq!((outcome.entries_written, outcome.entries_lost), (0, 6));
        assert_eq!((outcome.failure, outcome.events_dropped), (None, 0));
        let cause = outcome.entries_lost_because.expect("there is one");
        assert!(cause.starts_with("`/dev/full`: No space left"), "{cause}");
    }

    #[test]
    fn a_sink_that_blocks_does_not_hold_up_the_end() {
        struct Blocked(mpsc::Sender<()>, mpsc::Receiver<()>);
        impl Sink for Blocked {
            fn write_line(&mut self, _: &str) -> io::Result<()> {
                self.0.send(()).expect("the test waits for it");
                let _ = self.1.recv();
                Ok(())
            }
        }
        let lost = |recorder: Box<dyn Recorder>| {
            let (entered, has_entered) = mpsc::channel();
            let (_hold, held) = mpsc::channel();
            let (recorders, feed) = try_start(recorder, Blocked(entered, held)).expect("starts");
            feed.publish(event(EventKind::RunStarted));
            has_entered.recv().expect("the sink is at work");
            let outcome = recorders.finish(Duration::from_millis(20)).remove(0);
            (outcome.entries_written, outcome.entries_lost)
        };
        assert_eq!(lost(Box::new(one_each())), (0, 1));
        assert_eq!(lost(Box::new(pages())), (0, 4));
    }

    #[test]
    fn entries_that_are_no_objects_are_counted_and_left_out() {
        let mut odd = one_each();
        odd.handle = Box::new(|_| {
            let entries = [
                "{\"a\":1}\n{\"c\":3}\n",
                "{broken",
                "[1]",
                "",
                "{\n\"b\":2}",
            ];
            Ok(entries.map(str::to_owned).to_vec())
        });
        let page = Page::default();
        let (recorders, feed) = start(odd, page.clone());
        feed.publish(event(EventKind::RunStarted));
        let outcome = finish(recorders);
        assert_eq!((outcome.entries_written, outcome.entries_invalid), (4, 3));
        let first = outcome.first_invalid.as_deref();
        assert_eq!(
            first,
            Some("`{broken`: key must be a string at line 1 column 2")
        );
        // What it holds is sound.
        assert_eq!((outcome.restarts, &outcome.failure), (0, &None));
        assert_eq!(
            page.lines(),
            [
                r#"{"a":1}"#,
                r#"{"c":3}"#,
                r#"{ "b":2}"#,
                r#"{"e":"finish"}"#
            ]
        );
        assert!(!outcome.is_complete());
    }

    #[test]
    fn a_failure_at_the_end_is_told() {
        let mut trapping = one_each();
        trapping.finish = Box::new(trap);
        let (recorders, _) = start(trapping, Page::default());
        let outcome = finish(recorders);
        assert_eq!(outcome.failure.as_deref(), Some("it stopped: unreachable"));
    }

    #[test]
    fn dropped_recorders_write_nothing_more() {
        let page = Page::default();
        let (mut recorders, feed) = start(one_each(), page.clone());
        let thread = recorders.tasks[0].thread.take().expect("it runs");
        drop(recorders);
        thread.join().expect("it ends");
        assert!(page.lines().is_empty());
        assert!(!feed.wants(Interests::CHECKS));
    }
}
