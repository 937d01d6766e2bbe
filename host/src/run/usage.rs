//! What a node's process uses while a run goes on, and whether it runs short.

use std::time::{Duration, Instant};

use super::Health;
use super::cadence::Ticks;
use super::pulse::Lag;
use crate::event::{EventKind, Interests, SystemUsage};
use crate::system::{Sampler, Watch};
use crate::vu::RunContext;

/// Takes samples of the process at every system interval.
#[derive(Debug)]
pub(super) struct Usage {
    sampler: Sampler,
    shortage: Watch,
    ticks: Ticks,
    /// How late the VUs' threads ran since the last sample.
    lag: Lag,
    /// Sent and received by requests since the start.
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    health: HealthWatch,
    warnings: u32,
}

impl Usage {
    /// Begins with the first sample one interval after `start`. What was used
    /// before now does not count.
    pub(super) fn new(start: Instant, interval: Duration, threads: usize) -> Self {
        Self {
            sampler: Sampler::new(),
            shortage: Watch::new(),
            ticks: Ticks::new(start, interval),
            lag: Lag::default(),
            sent_bytes: 0,
            received_bytes: 0,
            health: HealthWatch::new(threads),
            warnings: 0,
        }
    }

    /// When the next sample is due.
    pub(super) fn due(&self) -> Instant {
        self.ticks.due()
    }

    /// Whether one is due; the next is then the first that lies ahead.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        self.ticks.pass(now)
    }

    /// Adds how late threads ran.
    pub(super) fn add(&mut self, lag: Lag) {
        self.lag.merge(lag);
    }

    /// How often the process began to run short of something.
    pub(super) fn warnings(&self) -> u32 {
        self.warnings
    }

    /// Looks at what the process uses, tells it, and warns if it runs short.
    pub(super) fn sample(&mut self, context: &RunContext) {
        let lag = std::mem::take(&mut self.lag);
        let usage = SystemUsage {
            scheduler_lag_ms: lag.max.as_secs_f64() * 1e3,
            requests_sent_bytes: self.sent_bytes,
            requests_received_bytes: self.received_bytes,
            ..self.sampler.sample()
        };
        let cpu_is_known = self.sampler.knows_cpu();
        self.health.take_in(&usage, cpu_is_known, lag);
        if !cpu_is_known {
            // Nobody is told of figures that were not measured.
            return;
        }
        if context.feed.wants(Interests::SYSTEM) {
            context.publish(EventKind::System(usage));
        }
        for change in self.shortage.observe(&usage) {
            if matches!(change, EventKind::ResourceWarning(_)) {
                self.warnings += 1;
            }
            context.publish(change);
        }
    }

    /// What the samples come to.
    pub(super) fn health(&self) -> Health {
        self.health.health()
    }
}

/// What the samples of the process's use come to.
#[derive(Debug)]
struct HealthWatch {
    health: Health,
    /// How many samples told the use of processors.
    samples: u32,
    lag: Lag,
}

impl HealthWatch {
    fn new(threads: usize) -> Self {
        Self {
            health: Health {
                threads,
                ..Health::default()
            },
            samples: 0,
            lag: Lag::default(),
        }
    }

    fn take_in(&mut self, usage: &SystemUsage, cpu_is_known: bool, lag: Lag) {
        self.lag.merge(lag);
        let health = &mut self.health;
        health.cores = usage.cores;
        health.memory_max_bytes = health.memory_max_bytes.max(usage.memory_bytes);
        health.open_files_max = health.open_files_max.max(usage.open_files);
        if !cpu_is_known {
            return;
        }
        self.samples += 1;
        health.cpu_is_known = true;
        health.cpu_mean_percent +=
            (usage.cpu_percent - health.cpu_mean_percent) / f64::from(self.samples);
        health.cpu_max_percent = health.cpu_max_percent.max(usage.cpu_percent);
        health.machine_cpu_max_percent = health
            .machine_cpu_max_percent
            .max(usage.machine_cpu_percent);
        let steal = [health.steal_max_percent, usage.machine_steal_percent];
        health.steal_max_percent = steal.into_iter().flatten().reduce(f64::max);
    }

    fn health(&self) -> Health {
        Health {
            scheduler_lag_max: self.lag.max,
            scheduler_late_share: self.lag.late_share(),
            ..self.health.clone()
        }
    }
}
