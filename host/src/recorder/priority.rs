//! How a recorder's thread shares a core with the load, where a thread has a
//! priority of its own (Linux).
//!
//! A thread of a low priority is interrupted whenever somebody else on its core
//! has something to do, tens of thousands of times a second beside a busy server
//! or VU. Each time, whoever woke the other one waits for it, and the recorder
//! finds its memory gone from the core's caches. One that needs little of a core
//! therefore gets a priority at which it is let finish most of what it began,
//! and which others still go before. One that needs more, of a second or at a
//! stretch, gives way for the rest of the run.

use std::time::{Duration, Instant};

/// The priority of one that needs little, from -20 to 19, the load's being 0: on a
/// core that both want all the time it gets 29 %.
const MODEST: i32 = 4;

/// The priority of one that needs more: a thirtieth.
const GIVES_WAY: i32 = 15;

/// How long is looked at.
const WINDOW: Duration = Duration::from_secs(1);

/// How much of a core is little: less than it gets of one that another wants, too, so
/// that it gives way if it takes all that it gets.
const LITTLE: f64 = 0.25;

/// How long a stretch is short.
const SHORT: Duration = Duration::from_millis(20);

/// The priority of the thread that made it.
#[derive(Debug)]
pub(super) struct Priority {
    /// `None` for one that has given way, for the rest of the run.
    window: Option<Window>,
}

impl Priority {
    /// Lets this thread begin as one that needs little. A thread that may not say so
    /// keeps the priority that it has.
    pub(super) fn begin() -> Self {
        set(MODEST);
        Self {
            window: Some(Window {
                began: Instant::now(),
                used: used(),
            }),
        }
    }

    /// Looks now and then at how much of a core this thread, which is the one that
    /// made it, has used. It gives way once that is more than little.
    pub(super) fn look(&mut self) {
        let Some(window) = &mut self.window else {
            return;
        };
        let now = Instant::now();
        if now.saturating_duration_since(window.began) >= WINDOW && window.is_large(now, used()) {
            set(GIVES_WAY);
            self.window = None;
        }
    }
}

/// A stretch in which this thread does one thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    used: Duration,
}

impl Stretch {
    /// One that begins now.
    pub(crate) fn begin() -> Self {
        Self { used: used() }
    }

    /// Looks now and then at how long this thread, which is the one that began it, has
    /// computed in it. It gives way once that is no longer short.
    pub(crate) fn look(self) {
        if used().saturating_sub(self.used) >= SHORT {
            set(GIVES_WAY);
        }
    }
}

/// A time, and how much a thread had used of a core before it.
#[derive(Debug)]
struct Window {
    began: Instant,
    used: Duration,
}

impl Window {
    /// Ends it: whether more than little was used in it. Another one begins.
    fn is_large(&mut self, now: Instant, used: Duration) -> bool {
        let before = std::mem::replace(self, Self { began: now, used });
        let lasted = now.saturating_duration_since(before.began);
        used.saturating_sub(before.used) > lasted.mul_f64(LITTLE)
    }
}

#[cfg(target_os = "linux")]
fn set(priority: i32) {
    let _ = rustix::process::setpriority_process(None, priority);
}

/// Elsewhere this would be the priority of the whole process.
#[cfg(not(target_os = "linux"))]
fn set(_: i32) {}

/// How long this thread has computed.
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    fn own() -> i32 {
        rustix::process::getpriority_process(None).expect("there is one")
    }

    #[test]
    fn a_quarter_of_a_core_is_little_in_each_window() {
        let began = Instant::now();
        let mut window = Window {
            began,
            used: Duration::from_secs(3),
        };
        let mut after = |seconds: f64, used: f64| {
            let at = began + Duration::from_secs_f64(seconds);
            window.is_large(at, Duration::from_secs_f64(used))
        };
        assert!(!after(1.0, 3.25));
        assert!(!after(3.0, 3.7));
        assert!(after(4.0, 4.0));
        // What was used before does not count.
        assert!(!after(5.0, 4.0));
        assert!(after(15.0, 14.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_computes_all_the_time_gives_way_for_good() {
        let computing = std::thread::spawn(|| {
            let mut priority = Priority::begin();
            let before = own();
            while used() < WINDOW / 2 {}
            let window = priority.window.as_mut().expect("it is there");
            // As if it had not waited for the core in between.
            window.began = Instant::now() - WINDOW;
            priority.look();
            let after = own();
            priority.look();
            (before, after, own())
        });
        let found = computing.join().expect("it does not panic");
        assert_eq!(found, (MODEST, GIVES_WAY, GIVES_WAY));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_waits_keeps_its_priority() {
        let waiting = std::thread::spawn(|| {
            let mut priority = Priority::begin();
            let window = priority.window.as_mut().expect("it has just begun");
            window.began = Instant::now() - WINDOW;
            let stretch = Stretch::begin();
            std::thread::sleep(SHORT);
            stretch.look();
            priority.look();
            own()
        });
        assert_eq!(waiting.join().expect("it does not panic"), MODEST);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_gives_way_in_the_middle_of_a_long_stretch() {
        let computing = std::thread::spawn(|| {
            let _priority = Priority::begin();
            let stretch = Stretch::begin();
            while used() < stretch.used + SHORT {}
            stretch.look();
            own()
        });
        assert_eq!(computing.join().expect("it does not panic"), GIVES_WAY);
    }
}
