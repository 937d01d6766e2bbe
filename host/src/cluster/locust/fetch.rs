//! A worker that was started without a script gets it from the master's stub: first
//! the plan, then one file after the other, part by part. Every file is hashed
//! before it is used.

use bytes::Bytes;

use super::super::artefact::{Receiving, Store};
use super::super::message::{Artefact, Part};
use super::message::{ASK_FOR_PART, ASK_FOR_PLAN, Carried, Wanted, write};
use crate::error::Problem;
use crate::plan::{Plan, ScriptSource};

/// What a worker fetches.
pub(super) struct Fetch {
    store: Store,
    carried: Option<Carried>,
    /// Files that are still to come, after the one on its way.
    left: Vec<Artefact>,
    receiving: Option<Receiving>,
}

impl Fetch {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            carried: None,
            left: Vec::new(),
            receiving: None,
        }
    }

    /// Whether the stub has not said anything yet.
    pub(super) fn is_unanswered(&self) -> bool {
        self.carried.is_none()
    }

    /// What to ask for now.
    pub(super) fn question(&self, id: &str) -> Bytes {
        match &self.receiving {
            None => write(ASK_FOR_PLAN, &env!("CARGO_PKG_VERSION"), id),
            Some(receiving) => {
                let wanted = Wanted {
                    sha256: &receiving.artefact().sha256,
                    offset: receiving.offset(),
                };
                write(ASK_FOR_PART, &wanted, id)
            }
        }
    }

    /// Takes in what there is to play: the plan, once all of it is here.
    pub(super) fn plan(&mut self, carried: Carried) -> Result<Option<Plan>, Problem> {
        if self.carried.is_some() {
            return Ok(None);
        }
        let mut files: Vec<Artefact> = carried.scripts.iter().flatten().cloned().collect();
        files.extend(carried.data.iter().cloned());
        files.sort();
        files.dedup();
        files.retain(|file| self.store.find(file).is_none());
        self.left = files;
        self.carried = Some(carried);
        self.next()
    }

    /// Takes in a part of a file: the plan, once all of it is here.
    pub(super) fn part(&mut self, part: &Part) -> Result<Option<Plan>, Problem> {
        let Some(receiving) = &mut self.receiving else {
            return Ok(None);
        };
        let expected = part.sha256 == receiving.artefact().sha256;
        if !expected || part.offset != receiving.offset() {
            return Ok(None);
        }
        if !receiving.take(&part.bytes)? {
            return Ok(None);
        }
        if let Some(receiving) = self.receiving.take() {
            receiving.end()?;
        }
        self.next()
    }

    fn next(&mut self) -> Result<Option<Plan>, Problem> {
        if let Some(file) = self.left.pop() {
            self.receiving = Some(self.store.receive(file)?);
            return Ok(None);
        }
        self.local_plan().map(Some)
    }

    /// The plan, with the files that are kept here.
    fn local_plan(&self) -> Result<Plan, Problem> {
        let carried = self.carried.as_ref().expect("it is asked for files");
        let mut plan = carried.plan().ok_or_else(|| {
            Problem::new(format!(
                "the locustfile is of squall {}, and this is {}: the plan in it cannot be read",
                carried.host_version,
                env!("CARGO_PKG_VERSION")
            ))
            .hint("write it anew with this one's `squall locust-stub`")
        })?;
        let kept = |artefact: &Artefact| {
            self.store
                .find(artefact)
                .ok_or_else(|| Problem::new(format!("`{}` is gone from the cache", artefact.name)))
        };
        if carried.scripts.len() != plan.scenarios.len() || carried.data.len() != plan.data.len() {
            return Err(Problem::new(
                "the locustfile does not carry all scripts and data",
            ));
        }
        for (scenario, artefact) in plan.scenarios.iter_mut().zip(&carried.scripts) {
            match (&mut scenario.script, artefact) {
                (ScriptSource::File(path), Some(artefact)) => *path = kept(artefact)?,
                (ScriptSource::Demo, _) => {}
                (ScriptSource::File(_), None) => {
                    return Err(Problem::new("the locustfile does not carry all scripts"));
                }
            }
        }
        for (spec, artefact) in plan.data.iter_mut().zip(&carried.data) {
            spec.path = kept(artefact)?;
        }
        Ok(plan)
    }
}
