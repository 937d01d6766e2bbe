//! Taking a run over from a master that is gone.
//!
//! What there is to know of the run its workers know: each has the plan, its part, what
//! it was told, and all that it measured. A master that comes after another one
//!
//! 1. asks who has a part of the run, which changes nothing;
//! 2. listens for a while whether another master shows that it is there;
//! 3. takes a higher term, and with it the run: workers tell it everything anew.
//!
//! Who does not answer in time is lost, and comes back if it is heard later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::super::message::{Entry, Kept, Lease, ToMaster, ToWorker, term_after};
use super::super::nats::{Access, Connection};
use super::super::subject::{Subjects, is_part};
use super::super::tally::Inbox;
use super::super::wire::Reader;
use super::{BEAT, ECHO, Gathering, LOOK, Link, Linked, Peer};
use crate::error::{Error, Problem};
use crate::plan::{Plan, Share};
use crate::run::link::{Command, Fleet, News, Origin, Past, To, WorkerId};
use crate::run::{OnLoss, Stop};

/// What it takes to look for a run.
pub struct Search {
    /// Where the server is.
    pub access: Access,
    /// The name of the cluster.
    pub cluster: String,
    /// The run.
    pub run: String,
    /// How long to wait for a worker that has a part of it.
    pub wait: Duration,
    /// Tells people how far it is.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What is left of a run whose master is gone.
#[derive(Debug, Clone)]
pub struct Remains {
    /// The plan, without recorders.
    pub plan: Plan,
    /// How many workers it began with.
    pub workers: u32,
    /// What happens when one is lost.
    pub on_loss: OnLoss,
    /// How long they go on without a master.
    pub lease: Lease,
}

/// Finds out what is left of a run. Changes nothing.
///
/// # Errors
///
/// If the server cannot be reached, nobody has a part of the run, or it has a
/// master.
pub async fn find(search: Search) -> Result<Remains, Error> {
    let Search {
        access,
        cluster,
        run,
        wait,
        tell,
    } = search;
    if !is_part(&run) {
        return Err(Error::Config(vec![
            Problem::new(format!("`--resume {run}` is no run"))
                .hint("workers and the master that is gone have told its id"),
        ]));
    }
    let subjects = Subjects::new(&cluster);
    let name = "squall master";
    let connection = Connection::open(&access, name, Some(wait), |text| tell(text)).await;
    let mut connection = connection?;
    let mut incoming = connection.subscribe(subjects.all_workers()).await?;
    let mut echo = connection.subscribe(subjects.run(&run)).await?;
    let (mut reader, mut echo_reader) = (Reader::default(), Reader::default());
    let began = Instant::now();
    let mut asked: Option<Instant> = None;
    loop {
        let now = Instant::now();
        if asked.is_none_or(|asked| now >= asked + BEAT) {
            asked = Some(now);
            let run = run.clone();
            let who = ToWorker::Who { run, number: 0 };
            connection.send(subjects.all(), &who).await;
        }
        if now >= began + wait {
            return Err(nobody(&run, &cluster, wait));
        }
        tokio::select! {
            Some(message) = incoming.next() => {
                let sender = subjects.sender(&message.subject).unwrap_or_default();
                let said = reader.read::<ToMaster>(sender, &message.payload);
                if let Ok(ToMaster::Kept(kept)) = said
                    && kept.assignment.run == run
                {
                    return Ok(Remains {
                        workers: kept.assignment.team.len() as u32,
                        on_loss: kept.assignment.on_loss,
                        lease: kept.assignment.lease,
                        plan: kept.assignment.plan,
                    });
                }
            }
            Some(message) = echo.next() => {
                let said = echo_reader.read::<ToWorker>("", &message.payload);
                if let Ok(ToWorker::Beat(_)) = said {
                    return Err(has_master(&run));
                }
            }
            complaint = connection.complaint() => return Err(super::refused(&complaint)),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Takes a run over: what [`gather`](super::gather) does for a new one. `None` if the
/// user ended it before.
///
/// # Errors
///
/// As [`find`]; also if the run had not started.
pub async fn resume(gathering: Gathering) -> Result<Option<(Fleet, Past, Linked)>, Error> {
    let mut link = Link::open(gathering).await?;
    if !link.look_for_workers().await? {
        return Ok(None);
    }
    let past = link.take_over().await?;
    let (fleet, linked) = link.into_fleet();
    Ok(Some((fleet, past, linked)))
}

/// What workers have of a run that is to be taken over.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of each worker what it said, with its id.
    workers: BTreeMap<WorkerId, (String, Kept)>,
    /// When the last question was asked, and its number.
    asked: Option<(Instant, u32)>,
    /// The master's time by the fastest answer, and how long that took.
    best: Option<(Duration, Origin)>,
    /// Another master was heard.
    has_master: bool,
}

impl Link {
    /// Waits until those that have a part in the run have said so; `false` if the
    /// user does not.
    async fn look_for_workers(&mut self) -> Result<bool, Error> {
        let wanted = self.gathering.workers as usize;
        let began = Instant::now();
        let mut stop: watch::Receiver<Stop> = self.gathering.stop.clone();
        let mut told = 0;
        loop {
            let now = Instant::now();
            let run = self.gathering.run.clone();
            let asked = self.found.asked;
            if asked.is_none_or(|(asked, _)| now >= asked + BEAT) {
                let number = asked.map_or(1, |(_, number)| number + 1);
                self.found.asked = Some((now, number));
                let all = self.subjects.all();
                let who = ToWorker::Who { run, number };
                self.connection.send(all, &who).await;
            }
            if self.found.has_master {
                return Err(has_master(&self.gathering.run));
            }
            // As long as a master may take to show that it is there.
            let is_quiet = now >= began + ECHO;
            let there = self.found.workers.len();
            if is_quiet && there >= wanted && self.found.best.is_some() {
                return Ok(true);
            }
            if now >= began + self.gathering.wait {
                return match there {
                    0 => Err(nobody(
                        &self.gathering.run,
                        &self.gathering.cluster,
                        self.gathering.wait,
                    )),
                    _ => Ok(true),
                };
            }
            if is_quiet && told != there + 1 {
                told = there + 1;
                self.tell(&format!(
                    "waiting for the run's workers: {there} of {wanted} are there"
                ));
            }
            if !self.step(&mut stop).await? {
                return Ok(false);
            }
        }
    }

    /// Takes note of what a worker has of the run.
    pub(super) async fn hear_of(&mut self, sender: &str, kept: Kept) {
        if kept.assignment.run != self.gathering.run {
            return;
        }
        let number = kept.assignment.worker;
        if self.is_running {
            // It missed that there is another master, or was away until now.
            let Some(peer) = self.peers.get_mut(number as usize) else {
                return;
            };
            if peer.id.is_empty() {
                sender.clone_into(&mut peer.id);
            }
            if peer.id == sender && kept.term < self.term {
                self.adopt(number as usize).await;
            }
            return;
        }
        if let Some((asked, question)) = self.found.asked
            && question == kept.number
        {
            let took = asked.elapsed();
            let then = asked + took / 2;
            let origin = then.checked_sub(Duration::from_nanos(kept.at.0));
            let is_better = self.found.best.is_none_or(|(best, _)| took < best);
            if let Some(origin) = origin.filter(|_| is_better) {
                self.found.best = Some((took, Origin(origin)));
            }
        }
        self.found.workers.insert(number, (sender.to_owned(), kept));
    }

    /// Takes note of a master beside this one.
    pub(super) fn hear_another(&mut self, term: u64) {
        if !self.is_running {
            self.found.has_master = true;
        } else if term > self.term && !std::mem::replace(&mut self.is_replaced, true) {
            self.tell("another master has taken the run over: this one ends");
            for worker in 0..self.peers.len() {
                if !std::mem::replace(&mut self.peers[worker].is_lost, true) {
                    let why = "another master has taken the run over".to_owned();
                    self.say(worker as WorkerId, News::Lost(why));
                }
            }
        }
    }

    /// Makes what was found its own.
    async fn take_over(&mut self) -> Result<Past, Error> {
        let found = std::mem::take(&mut self.found);
        let kept = || found.workers.values().map(|(_, kept)| kept);
        // All of them are the beginning of the same.
        let log = kept().map(|kept| &kept.log).max_by_key(|log| log.len());
        self.log = log.cloned().unwrap_or_default();
        self.term = term_after(kept().map(|kept| kept.term).max().unwrap_or(0));
        let start = self.log.iter().find_map(|entry| match &entry.command {
            Command::Start(start) => Some((**start).clone()),
            _ => None,
        });
        let (Some(start), Some((_, origin))) = (start, found.best) else {
            let run = &self.gathering.run;
            return Err(Error::Cluster(
                Problem::new(format!(
                    "the run {run} had not started when its master was lost"
                ))
                .hint("no VU has started; start the run again"),
            ));
        };
        self.origin = origin;
        let team: Vec<String> = kept()
            .next()
            .map(|kept| kept.assignment.team.clone())
            .unwrap_or_default();
        let mut number_of_peers = team.len();
        for number in found.workers.keys() {
            number_of_peers = number_of_peers.max(*number as usize + 1);
        }
        for entry in &self.log {
            if let Entry { to: Some(to), .. } = entry {
                number_of_peers = number_of_peers.max(*to as usize + 1);
            }
        }
        let now = Instant::now();
        for number in 0..number_of_peers {
            let found = found.workers.get(&(number as WorkerId));
            let name = match (found, team.get(number)) {
                (Some((_, kept)), _) => kept.assignment.name.clone(),
                (None, Some(name)) => name.clone(),
                (None, None) => format!("worker {number}"),
            };
            let share = match found {
                Some((_, kept)) => kept.assignment.share,
                None => Share::new(number as u32, team.len() as u32),
            };
            self.peers.push(Peer {
                id: found.map(|(id, _)| id.clone()).unwrap_or_default(),
                name: name.into(),
                share,
                inbox: Inbox::default(),
                heard: now,
                has_answered: true,
                assigned: now,
                prepared: found.map(|(_, kept)| Ok(kept.clock)),
                is_lost: found.is_none(),
                has_left: false,
                take: 0,
            });
            match found {
                Some(_) => self.adopt(number).await,
                None => {
                    let why = "it was not there when the run was taken over".to_owned();
                    self.say(number as WorkerId, News::Lost(why));
                }
            }
        }
        self.tell(&format!(
            "took over the run {}: {} of {number_of_peers} workers are there",
            self.gathering.run,
            found.workers.len()
        ));
        let told = self.log.iter().map(|entry| {
            let to = entry.to.map_or(To::All, To::One);
            (to, entry.command.clone())
        });
        Ok(Past {
            start,
            told: told.collect(),
        })
    }

    /// Tells a worker that this is its master now.
    async fn adopt(&mut self, worker: usize) {
        let peer = &mut self.peers[worker];
        peer.inbox = Inbox::default();
        let (run, term) = (self.gathering.run.clone(), self.term);
        let to = self.subjects.one(&peer.id);
        self.connection
            .send(to, &ToWorker::Adopt { run, term })
            .await;
    }

    /// Whether it has what a worker needs that comes late.
    pub(super) fn has_shelf(&self) -> bool {
        self.scripts.len() == self.gathering.plan.scenarios.len()
    }
}

fn nobody(run: &str, cluster: &str, wait: Duration) -> Error {
    let wait = crate::units::Pretty(wait);
    Error::Cluster(
        Problem::new(format!(
            "no worker has a part of the run {run}, after {wait}"
        ))
        .hint(format!(
            "workers keep one only with `--orphan-timeout finish`, for a day, and until they end; \
             they must name the same cluster (`{cluster}`)"
        )),
    )
}

fn has_master(run: &str) -> Error {
    Error::Cluster(
        Problem::new(format!("the run {run} has a master: it is not lost"))
            .hint("ctrl-c ends it there; only a run without a master can be taken over"),
    )
}
