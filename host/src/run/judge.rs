//! The run's judge: tells recorders when a threshold changes, and the conductor
//! when one ends the run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::event::EventKind;
use crate::stats::Snapshot;
use crate::stats::thresholds::{Judge, NOTHING_COUNTED, Stage, Verdict};
use crate::vu::{Phase, RunContext};

/// Judges a run by its plan's thresholds at every look, for the conductor.
#[derive(Debug)]
pub(super) struct RunJudge {
    context: Arc<RunContext>,
    judge: Judge,
    breach: watch::Sender<Option<Arc<str>>>,
}

impl RunJudge {
    /// The judge of a run that is about to start.
    pub(super) fn new(context: Arc<RunContext>) -> Self {
        Self {
            judge: Judge::new(&context.plan.thresholds, context.tracking.clone()),
            breach: watch::Sender::new(None),
            context,
        }
    }

    /// Takes in what some thread measured.
    pub(super) fn take_in(&mut self, measured: &Snapshot) {
        if !self.judge.is_idle() {
            self.judge.take_in(measured);
        }
    }

    /// Takes in what was measured while there was no master to judge it: it counts
    /// for the run as a whole, and in no window.
    pub(super) fn take_in_past(&mut self, measured: &Snapshot) {
        if !self.judge.is_idle() {
            self.judge.take_in_past(measured);
        }
    }

    /// Begins to judge in the middle of a run: `elapsed` of it is past.
    pub(super) fn resume(&mut self, elapsed: Duration) {
        self.judge.resume(elapsed);
    }

    /// Whether there were times in which a threshold should have been judged, and
    /// was not.
    pub(super) fn has_gap(&self) -> bool {
        self.judge.has_gap()
    }

    /// Judges by what was measured in `elapsed`, and tells what changed.
    pub(super) fn look(&mut self, elapsed: Duration, vus: u32) {
        let stage = match self.context.phase() {
            Phase::Starting | Phase::Running => Stage::Running,
            Phase::Stopping | Phase::Finishing => Stage::Stopping,
        };
        self.judge(elapsed, vus, stage);
    }

    fn judge(&mut self, elapsed: Duration, vus: u32, stage: Stage) {
        if self.judge.is_idle() {
            return;
        }
        let most = self.context.plan.max_vus();
        if stage != Stage::Over {
            self.judge.take_in_vus(vus, most, elapsed);
        }
        for verdict in self.judge.judge(elapsed, stage) {
            self.context.publish(EventKind::ThresholdChanged(verdict));
        }
        if self.breach.borrow().is_none()
            && let Some(threshold) = self.judge.breached()
        {
            self.breach.send_replace(Some(threshold.text().into()));
        }
    }

    /// Waits until a threshold ends the run: which one.
    pub(super) fn breached(&self) -> impl Future<Output = Arc<str>> + use<> {
        let mut breach = self.breach.subscribe();
        async move {
            match breach.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(threshold)) => threshold.clone(),
                // Without a judge there is no breach.
                _ => std::future::pending().await,
            }
        }
    }

    /// The last judgement, of all that was measured: how the thresholds stand
    /// after the run as a whole.
    pub(super) fn conclude(&mut self, elapsed: Duration) -> Vec<Verdict> {
        self.judge(elapsed, 0, Stage::Over);
        self.judge.conclusion()
    }

    /// How the thresholds stand at the last judgement.
    pub(super) fn standing(&self) -> Vec<Verdict> {
        self.judge.conclusion()
    }

    /// What the user should know about thresholds that hold and judged nothing.
    pub(super) fn warnings(&self) -> Vec<String> {
        let empty = self.judge.conclusion();
        let is_empty = |it: &&Verdict| it.passed && it.note.as_deref() == Some(NOTHING_COUNTED);
        let gap = self.has_gap().then(|| {
            "thresholds on windows and on `vus` were not judged while the run had no master"
                .to_owned()
        });
        empty
            .iter()
            .filter(is_empty)
            .map(|verdict| {
                format!(
                    "nothing was measured that the threshold `{}` is on, which counts as 0: \
                     check the names in it",
                    verdict.expression
                )
            })
            .chain(gap)
            .collect()
    }
}
