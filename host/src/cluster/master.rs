//! The master's end of the link: from workers that are there to a fleet, and then
//! between the conductor and them.
//!
//! | it | until |
//! |---|---|
//! | gathers | enough workers have said hello; others are told why they cannot take part |
//! | prepares | each has its script and data, knows the master's time, and says so |
//! | links | the conductor is through; then it releases them |
//!
//! A worker that is not heard for [`SILENCE`] is lost, if the server works in the
//! meantime: the master hears itself over it. Without the server nobody is lost,
//! until the workers have stopped by themselves.
//!
//! A master that takes a run over from one that is gone gathers and prepares nobody:
//! see [`resume`].

mod resume;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::artefact::Shelf;
use super::message::{
    Artefact, Assignment, Beat, Entry, Hello, Lease, Part, Report, ToMaster, ToWorker, VERSION,
    term_after,
};
use super::nats::{Access, Connection};
use super::subject::{Subjects, is_part};
use super::tally::Inbox;
use super::wire::{Reader, Unread};
use crate::error::{Error, Problem};
use crate::plan::{DataOrder, Plan, ScriptSource, Share};
use crate::run::link::{ClockCheck, Command, Fleet, Member, News, Origin, To, WorkerId};
use crate::run::{OnLoss, Stop};

pub use self::resume::{Remains, Search, find, resume};

/// How often the master shows that it is there, at the least.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// After how long a worker that is not heard is lost.
pub const SILENCE: Duration = Duration::from_secs(4);
/// After how long without hearing itself the master holds the server for gone.
const ECHO: Duration = Duration::from_millis(2_500);
/// How long a worker may be silent while it gets ready.
const PREPARING: Duration = Duration::from_secs(20);
/// How often something is said again that was not answered.
const AGAIN: Duration = Duration::from_secs(2);
/// How often the master looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(250);
/// How many workers get parts of artefacts at a time: what is under way then takes
/// no more than 8 MiB of the server's memory.
const FETCHING: usize = 16;
/// How far ahead the start is, beside what the network takes.
const LEAD: Duration = Duration::from_millis(500);
/// How far ahead a change of the load is, beside the same.
const AHEAD: Duration = Duration::from_millis(100);
/// How long workers have to tell what they measured.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long answers of one worker keep the master busy.
const SPREAD: Duration = Duration::from_millis(1);

/// What this program is, which all nodes have to be alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The version of the program.
    pub host_version: String,
    /// The WIT packages that it runs, with their versions.
    pub wit: Vec<String>,
}

/// What it takes to gather workers for a run.
pub struct Gathering {
    /// Where the server is.
    pub access: Access,
    /// The name of the cluster: a part of every subject.
    pub cluster: String,
    /// How many workers there are to be.
    pub workers: u32,
    /// How long to wait for them.
    pub wait: Duration,
    /// Take only workers that wait for this run.
    pub is_closed: bool,
    /// The run.
    pub run: String,
    /// What to run.
    pub plan: Arc<Plan>,
    /// What happens when a worker is lost.
    pub on_loss: OnLoss,
    /// How long workers go on without a sign of life.
    pub lease: Lease,
    /// What the workers have to be.
    pub identity: Identity,
    /// How the user ends it.
    pub stop: watch::Receiver<Stop>,
    /// Tells people how far it is.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The link while the run goes on.
pub struct Linked {
    over: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Linked {
    /// Releases the workers, after the run.
    pub async fn close(self) {
        let _ = self.over.send(());
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// Gathers workers and brings them to where the run can start. `None` if the user
/// ended it. Not cancel-safe: workers would wait for their lease to end.
///
/// # Errors
///
/// If the server cannot be reached, there are too few workers, or one cannot get
/// ready.
pub async fn gather(gathering: Gathering) -> Result<Option<(Fleet, Linked)>, Error> {
    let mut link = Link::open(gathering).await?;
    link.fill_shelf()?;
    let ready = link.get_ready().await;
    match ready {
        Ok(true) => Ok(Some(link.into_fleet())),
        Ok(false) => {
            link.release().await;
            Ok(None)
        }
        Err(error) => {
            link.release().await;
            Err(error)
        }
    }
}

/// A worker, as the link knows it.
struct Peer {
    id: String,
    name: Arc<str>,
    share: Option<Share>,
    inbox: Inbox,
    heard: Instant,
    /// It has said that it gets ready.
    has_answered: bool,
    assigned: Instant,
    prepared: Option<Result<ClockCheck, Problem>>,
    is_lost: bool,
    /// It has said that it goes.
    has_left: bool,
    /// The last question that it answered.
    take: u64,
}

struct Link {
    gathering: Gathering,
    connection: Connection,
    incoming: Subscriber,
    echo: Subscriber,
    reader: Reader,
    echo_reader: Reader,
    subjects: Subjects,
    shelf: Shelf,
    scripts: Vec<Option<Artefact>>,
    data: Vec<Artefact>,
    peers: Vec<Peer>,
    /// Those that said hello and are not taken yet.
    waiting: Vec<Hello>,
    refused: HashSet<String>,
    /// Workers that have a part in another run: which, and whether that is without
    /// its master.
    engaged: HashMap<String, (String, bool)>,
    log: Vec<Entry>,
    term: u64,
    /// Another master has taken the run over.
    is_replaced: bool,
    /// What workers have of a run that is to be taken over.
    found: resume::Found,
    take: u64,
    origin: Origin,
    last_beat: Instant,
    /// When the master last heard itself, and since when it does without a gap.
    echoed: Instant,
    works_since: Instant,
    turns: Turns,
    news: UnboundedSender<(WorkerId, News)>,
    news_out: Option<UnboundedReceiver<(WorkerId, News)>>,
    is_running: bool,
    /// Whether the server was there at the last look.
    was_up: bool,
}

/// Whose turn it is to get parts of artefacts.
#[derive(Default)]
struct Turns {
    active: HashMap<WorkerId, Instant>,
    waiting: VecDeque<(WorkerId, String, u64)>,
}

impl Link {
    async fn open(gathering: Gathering) -> Result<Self, Error> {
        let subjects = Subjects::new(&gathering.cluster);
        let tell = gathering.tell.clone();
        let patience = Some(gathering.wait);
        let connection = Connection::open(&gathering.access, "squall master", patience, |text| {
            tell(text)
        })
        .await?;
        let incoming = connection.subscribe(subjects.all_workers()).await?;
        let echo = connection.subscribe(subjects.run(&gathering.run)).await?;
        let now = Instant::now();
        let (news, news_out) = unbounded_channel();
        Ok(Self {
            gathering,
            connection,
            incoming,
            echo,
            reader: Reader::default(),
            echo_reader: Reader::default(),
            subjects,
            shelf: Shelf::default(),
            scripts: Vec::new(),
            data: Vec::new(),
            peers: Vec::new(),
            waiting: Vec::new(),
            refused: HashSet::new(),
            engaged: HashMap::new(),
            log: Vec::new(),
            term: term_after(0),
            is_replaced: false,
            found: resume::Found::default(),
            was_up: true,
            take: 0,
            origin: Origin(now),
            last_beat: now,
            echoed: now,
            works_since: now,
            turns: Turns::default(),
            news,
            news_out: Some(news_out),
            is_running: false,
        })
    }

    /// Hashes the scripts and data that it hands out.
    fn fill_shelf(&mut self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        for scenario in &self.gathering.plan.scenarios {
            self.scripts.push(match &scenario.script {
                ScriptSource::File(path) => {
                    let put = self.shelf.put(path);
                    put.map_err(|it| wrong.push(it)).ok()
                }
                ScriptSource::Demo => None,
            });
        }
        for spec in &self.gathering.plan.data {
            match self.shelf.put(&spec.path) {
                Ok(artefact) => self.data.push(artefact),
                Err(problem) => wrong.push(problem),
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Error::Config(wrong)),
        }
    }

    fn tell(&self, text: &str) {
        (self.gathering.tell)(text);
    }

    /// Waits for workers, and until they are ready; `false` if the user does not.
    async fn get_ready(&mut self) -> Result<bool, Error> {
        let wanted = self.gathering.workers as usize;
        let began = Instant::now();
        let mut stop = self.gathering.stop.clone();
        let mut called: Option<Instant> = None;
        let mut told = 0;
        while self.waiting.len() < wanted {
            let now = Instant::now();
            if called.is_none_or(|called| now >= called + BEAT) {
                called = Some(now);
                let all = self.subjects.all();
                self.connection.send(all, &ToWorker::Call).await;
            }
            if now >= began + self.gathering.wait {
                return Err(self.too_few());
            }
            let is_slow = now >= began + 2 * BEAT;
            if is_slow && told != self.waiting.len() + 1 {
                told = self.waiting.len() + 1;
                self.tell(&format!(
                    "waiting for workers: {} of {wanted} are there",
                    told - 1
                ));
            }
            if !self.step(&mut stop).await? {
                return Ok(false);
            }
        }
        let mut chosen = std::mem::take(&mut self.waiting);
        chosen.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        chosen.truncate(wanted);
        for (index, hello) in (0..).zip(chosen) {
            let share = Share::new(index, self.gathering.workers);
            self.enlist(hello, share);
        }
        for worker in 0..self.peers.len() {
            self.assign(worker).await;
        }
        let mut told = None;
        loop {
            let now = Instant::now();
            for worker in 0..self.peers.len() {
                let peer = &self.peers[worker];
                let name = peer.name.clone();
                match &peer.prepared {
                    Some(Ok(_)) => {}
                    Some(Err(problem)) => {
                        let what =
                            format!("the worker `{name}` cannot take part: {}", problem.what);
                        let problem = Problem {
                            what,
                            hint: problem.hint.clone(),
                        };
                        return Err(Error::Cluster(problem));
                    }
                    None if now >= peer.heard + PREPARING => {
                        return Err(Error::Lost(
                            Problem::new(format!(
                                "the worker `{name}` was lost while it got ready: it is silent"
                            ))
                            .hint("start it again, and the run"),
                        ));
                    }
                    None if !peer.has_answered && now >= peer.assigned + AGAIN => {
                        self.assign(worker).await;
                    }
                    None => {}
                }
            }
            let ready = self.peers.iter().filter(|peer| peer.prepared.is_some());
            let ready = ready.count();
            if ready == wanted {
                return Ok(true);
            }
            if now >= began + 2 * BEAT && told != Some(ready) {
                told = Some(ready);
                self.tell(&format!("workers get ready: {ready} of {wanted}"));
            }
            if !self.step(&mut stop).await? {
                return Ok(false);
            }
        }
    }

    fn too_few(&self) -> Error {
        let (there, wanted) = (self.waiting.len(), self.gathering.workers);
        let at = self.gathering.access.shown();
        let cluster = &self.gathering.cluster;
        let mut problem = Problem::new(format!(
            "{there} of {wanted} workers are there after {}",
            crate::units::Pretty(self.gathering.wait)
        ));
        if !self.refused.is_empty() {
            problem.what += &format!(", and {} more cannot take part", self.refused.len());
        }
        if !self.engaged.is_empty() {
            problem.what += &format!(", and {} more have a part in a run", self.engaged.len());
        }
        if let Some((run, _)) = self.engaged.values().find(|(_, is_orphan)| *is_orphan) {
            return Error::Cluster(problem.hint(format!(
                "the run {run} has lost its master, and its workers wait for another: \
                 `squall master --resume {run} --nats {at}` takes it over, and ctrl-c ends it"
            )));
        }
        Error::Cluster(problem.hint(format!(
            "start one with `squall worker --nats {at}`; they must name the same cluster \
             (`{cluster}`); `--wait` waits longer"
        )))
    }

    /// Takes in one message, or waits for a moment; `false` if the user ends it.
    async fn step(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<bool, Error> {
        tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop > Stop::No) => return Ok(false),
            message = self.incoming.next() => match message {
                Some(message) => self.take_in(&message).await,
                None => return Err(gone()),
            },
            Some(message) = self.echo.next() => self.hear_itself(&message),
            complaint = self.connection.complaint() => return Err(refused(&complaint)),
            () = tokio::time::sleep(LOOK) => {}
        }
        Ok(true)
    }

    /// Takes a worker in, which is to be given its part.
    fn enlist(&mut self, hello: Hello, share: Option<Share>) {
        let is_taken = |name: &str| self.peers.iter().any(|peer| *peer.name == *name);
        let name = std::iter::once(hello.name.clone())
            .chain((2..).map(|number| format!("{}-{number}", hello.name)))
            .find(|name| !is_taken(name))
            .unwrap_or_default();
        let now = Instant::now();
        self.peers.push(Peer {
            id: hello.id,
            name: name.into(),
            share,
            inbox: Inbox::default(),
            heard: now,
            has_answered: false,
            assigned: now,
            prepared: None,
            is_lost: false,
            has_left: false,
            take: 0,
        });
    }

    async fn assign(&mut self, worker: usize) {
        let mut plan = (*self.gathering.plan).clone();
        // They are the master's.
        plan.recorders.clear();
        let team = match self.gathering.lease {
            Lease::Plan => {
                let first = self.peers.iter().take(self.gathering.workers as usize);
                first.map(|peer| peer.name.to_string()).collect()
            }
            Lease::Millis(_) => Vec::new(),
        };
        let peer = &mut self.peers[worker];
        peer.assigned = Instant::now();
        let assignment = Assignment {
            run: self.gathering.run.clone(),
            worker: worker as WorkerId,
            name: peer.name.to_string(),
            plan,
            share: peer.share,
            on_loss: self.gathering.on_loss,
            scripts: self.scripts.clone(),
            data: self.data.clone(),
            lease: self.gathering.lease,
            term: self.term,
            team,
        };
        let to = self.subjects.one(&peer.id);
        self.connection
            .send(to, &ToWorker::Assign(Box::new(assignment)))
            .await;
    }

    fn into_fleet(mut self) -> (Fleet, Linked) {
        let check = |peer: &Peer| match &peer.prepared {
            Some(Ok(clock)) => Some(*clock),
            _ => None,
        };
        let slowest = self
            .peers
            .iter()
            .filter_map(check)
            .map(|clock| clock.error_ms);
        let slowest = Duration::from_secs_f64(slowest.fold(0.0, f64::max).clamp(0.0, 5e3) / 1e3);
        let members = self.peers.iter().map(|peer| Member {
            name: peer.name.clone(),
            share: peer.share,
            clock: check(peer),
        });
        let (commands, given) = unbounded_channel();
        let news = self.news_out.take().expect("it is made into a fleet once");
        let fleet = Fleet {
            members: members.collect(),
            commands: Box::new(move |to, command| _ = commands.send((to, command))),
            news,
            origin: self.origin,
            lead: LEAD + 8 * slowest,
            ahead: AHEAD + 8 * slowest,
            patience: PATIENCE + 8 * slowest + self.spread(),
        };
        self.is_running = true;
        let now = Instant::now();
        for peer in &mut self.peers {
            peer.heard = now;
        }
        let (over, ended) = oneshot::channel();
        let task = tokio::spawn(self.link(given, ended));
        (fleet, Linked { over, task })
    }

    fn spread(&self) -> Duration {
        SPREAD * self.peers.len().saturating_sub(4) as u32
    }

    /// Passes on what the conductor says, and what workers tell, until it is over.
    async fn link(
        mut self,
        mut given: UnboundedReceiver<(To, Command)>,
        mut over: oneshot::Receiver<()>,
    ) {
        self.beat().await;
        let mut look = Instant::now() + LOOK;
        loop {
            tokio::select! {
                biased;
                Some((to, command)) = given.recv() => self.pass_on(to, command).await,
                message = self.incoming.next() => match message {
                    Some(message) => self.take_in(&message).await,
                    None => break,
                },
                Some(message) = self.echo.next() => self.hear_itself(&message),
                () = sleep_until(look.into()) => {
                    look = Instant::now() + LOOK;
                    self.look().await;
                }
                complaint = self.connection.complaint() => {
                    tracing::warn!(complaint, "the NATS server refused something");
                }
                _ = &mut over => break,
            }
        }
        self.release().await;
    }

    /// Tells workers that there is nothing more for them.
    async fn release(&mut self) {
        if self.is_replaced {
            return;
        }
        if self.is_running {
            // With what the master has of their last words.
            self.beat().await;
        }
        for peer in self.peers.iter().filter(|peer| !peer.id.is_empty()) {
            let (run, term) = (self.gathering.run.clone(), self.term);
            let to = self.subjects.one(&peer.id);
            let release = ToWorker::Release { run, term };
            self.connection.send(to, &release).await;
        }
        self.connection.flush().await;
    }

    async fn pass_on(&mut self, to: To, command: Command) {
        if self.is_replaced {
            return;
        }
        if command == Command::Take {
            self.take += 1;
            return self.beat().await;
        }
        let to = match to {
            To::All => None,
            To::One(worker) => Some(worker),
        };
        self.log.push(Entry { to, command });
        self.send_log(self.log.len() as u64, None).await;
    }

    /// Sends the log from an entry on, to one worker or to all.
    async fn send_log(&mut self, from: u64, to: Option<&str>) {
        let at = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(entries) = self.log.get(at..) else {
            return;
        };
        let run = self.gathering.run.clone();
        let subject = match to {
            Some(id) => self.subjects.one(id),
            None => self.subjects.run(&run),
        };
        let entries = entries.to_vec();
        let log = ToWorker::Log {
            run,
            from,
            entries,
            term: self.term,
        };
        self.connection.send(subject, &log).await;
    }

    async fn beat(&mut self) {
        if self.is_replaced {
            return;
        }
        self.last_beat = Instant::now();
        let have = (0..)
            .zip(&self.peers)
            .map(|(worker, peer)| (worker, peer.inbox.have));
        let beat = Beat {
            run: self.gathering.run.clone(),
            term: self.term,
            log: self.log.len() as u64,
            take: self.take,
            have: have.collect(),
            spread_ms: self.spread().as_millis() as u32,
        };
        let subject = self.subjects.run(&self.gathering.run);
        self.connection.send(subject, &ToWorker::Beat(beat)).await;
    }

    fn hear_itself(&mut self, message: &async_nats::Message) {
        let now = Instant::now();
        if let Ok(ToWorker::Beat(beat)) = self.echo_reader.read("", &message.payload)
            && beat.term != self.term
        {
            return self.hear_another(beat.term);
        }
        if now >= self.echoed + ECHO {
            self.works_since = now;
        }
        self.echoed = now;
    }

    /// Shows that it is there, and looks who is not.
    async fn look(&mut self) {
        let now = Instant::now();
        if now >= self.last_beat + BEAT {
            self.beat().await;
        }
        if self.is_replaced {
            return;
        }
        let is_up = self.connection.is_up() && now < self.echoed + ECHO;
        if is_up != std::mem::replace(&mut self.was_up, is_up) {
            self.tell(match is_up {
                true => "the NATS server is back",
                false => "the NATS server does not answer: workers go on, and tell later",
            });
        }
        // Their leases end by then, and so does their load.
        let lease = self.gathering.lease.time().map(|lease| lease + SILENCE);
        let away = now.saturating_duration_since(self.echoed);
        let is_gone = lease.is_some_and(|lease| away >= lease);
        let mut lost = Vec::new();
        for (worker, peer) in (0..).zip(&mut self.peers) {
            let silent = now.saturating_duration_since(peer.heard.max(self.works_since));
            let why = match (is_up && silent >= SILENCE, is_gone) {
                (true, _) => "it is silent",
                (_, true) => "the NATS server was away for longer than `--orphan-timeout`",
                _ => continue,
            };
            if !std::mem::replace(&mut peer.is_lost, true) {
                lost.push((worker, why));
            }
        }
        for (worker, why) in lost {
            self.say(worker, News::Lost(why.to_owned()));
        }
        self.serve_waiting(now).await;
        // One that came late, and has not heard what it was told.
        for worker in 0..self.peers.len() {
            let peer = &self.peers[worker];
            let is_due = !peer.has_answered && now >= peer.assigned + AGAIN;
            if peer.prepared.is_none() && !peer.is_lost && is_due {
                self.assign(worker).await;
            }
        }
    }

    /// Tells the conductor.
    fn say(&self, worker: WorkerId, news: News) {
        // Without a conductor the run is over.
        let _ = self.news.send((worker, news));
    }

    async fn take_in(&mut self, message: &async_nats::Message) {
        if self.is_replaced {
            return;
        }
        let Some(sender) = self.subjects.sender(&message.subject).map(str::to_owned) else {
            return;
        };
        match self.reader.read::<ToMaster>(&sender, &message.payload) {
            Ok(said) => self.hear(&sender, said).await,
            Err(Unread::Part) => self.mark_heard(&sender),
            Err(Unread::Version(version)) => {
                let ours = &self.gathering.identity.host_version;
                let why = format!(
                    "it speaks version {version} of the protocol, and the master (squall {ours}) \
                     version {VERSION}: use the same version of squall everywhere"
                );
                self.refuse(&sender, &sender, why).await;
            }
            Err(Unread::Nonsense) => {
                tracing::debug!(sender, "a message that is none");
            }
        }
    }

    fn worker(&self, sender: &str) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == sender)
    }

    fn mark_heard(&mut self, sender: &str) {
        let Some(worker) = self.worker(sender) else {
            return;
        };
        let peer = &mut self.peers[worker];
        peer.heard = Instant::now();
        if !peer.has_left && std::mem::take(&mut peer.is_lost) {
            self.say(worker as WorkerId, News::Back);
        }
    }

    async fn refuse(&mut self, id: &str, name: &str, why: String) {
        if self.refused.insert(id.to_owned()) {
            self.tell(&format!("the worker `{name}` cannot take part: {why}"));
        }
        let to = self.subjects.one(id);
        self.connection.send(to, &ToWorker::Refuse(why)).await;
    }

    async fn hear(&mut self, sender: &str, said: ToMaster) {
        if let ToMaster::Hello(hello) = said {
            if hello.id == sender && is_part(sender) && self.worker(sender).is_none() {
                self.greet(hello).await;
            }
            return;
        }
        if let ToMaster::Engaged {
            name,
            run,
            is_orphan,
        } = said
        {
            self.engaged.insert(name, (run, is_orphan));
            return;
        }
        if let ToMaster::Kept(kept) = said {
            return self.hear_of(sender, *kept).await;
        }
        let Some(worker) = self.worker(sender) else {
            return;
        };
        let run = match &said {
            ToMaster::Prepared { run, .. }
            | ToMaster::Preparing { run, .. }
            | ToMaster::Ping { run, .. }
            | ToMaster::Missing { run, .. }
            | ToMaster::Fetch { run, .. }
            | ToMaster::Leave { run, .. } => run,
            ToMaster::Report(report) => &report.run,
            ToMaster::Hello(_) | ToMaster::Kept(_) | ToMaster::Engaged { .. } => return,
        };
        if *run != self.gathering.run {
            return;
        }
        if let ToMaster::Leave { why, .. } = said {
            return self.let_go(worker, why);
        }
        self.mark_heard(sender);
        self.peers[worker].has_answered = true;
        match said {
            ToMaster::Prepared { outcome, .. } => {
                if self.is_running
                    && let Err(problem) = &outcome
                {
                    self.say(worker as WorkerId, News::Lost(problem.what.clone()));
                }
                self.peers[worker].prepared = Some(outcome);
            }
            ToMaster::Preparing { doing, .. } => {
                tracing::info!(worker = &*self.peers[worker].name, doing);
            }
            ToMaster::Ping { number, .. } => {
                let now = Instant::now();
                let since_epoch = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                let pong = ToWorker::Pong {
                    number,
                    at: self.origin.moment(now),
                    wall_ms: since_epoch.as_secs_f64() * 1e3,
                };
                let to = self.subjects.one(sender);
                self.connection.send(to, &pong).await;
            }
            ToMaster::Missing { from, .. } => self.send_log(from, Some(sender)).await,
            ToMaster::Fetch { sha256, offset, .. } => {
                self.fetch(worker as WorkerId, sha256, offset).await;
            }
            ToMaster::Report(report) => self.take_report(worker, *report).await,
            ToMaster::Hello(_)
            | ToMaster::Kept(_)
            | ToMaster::Engaged { .. }
            | ToMaster::Leave { .. } => {}
        }
    }

    fn let_go(&mut self, worker: usize, why: String) {
        let peer = &mut self.peers[worker];
        if self.is_running {
            peer.has_left = true;
            if !std::mem::replace(&mut peer.is_lost, true) {
                self.say(worker as WorkerId, News::Lost(why));
            }
        } else {
            peer.prepared = Some(Err(Problem::new(why)));
        }
    }

    async fn take_report(&mut self, worker: usize, report: Report) {
        if report.term != self.term {
            // It was for a master before this one, and is told anew.
            return;
        }
        let take = report.take;
        let peer = &mut self.peers[worker];
        let Some((measured, news)) = peer.inbox.take(report) else {
            // It does not know what the master has: it is told at once.
            return self.beat().await;
        };
        let answers = take == self.take && take > peer.take;
        peer.take = peer.take.max(take);
        let measured = match (measured, answers) {
            (Some(measured), _) => Some(measured),
            // There was nothing to tell, and that is the answer.
            (None, true) => Some(Box::default()),
            (None, false) => None,
        };
        if let Some(mut measured) = measured {
            measured.asked = answers;
            self.say(worker as WorkerId, News::Measured(measured));
        }
        for one in news {
            self.say(worker as WorkerId, one);
        }
    }

    /// Takes note of a worker that is free.
    async fn greet(&mut self, hello: Hello) {
        let run = &self.gathering.run;
        let is_ours = match &hello.run {
            Some(wanted) => wanted == run,
            None => !self.gathering.is_closed,
        };
        if !is_ours {
            return;
        }
        if let Some(why) = mismatch(&hello, &self.gathering.identity) {
            return self
                .refuse(&hello.id.clone(), &hello.name.clone(), why)
                .await;
        }
        if !self.is_running {
            if self.waiting.iter().all(|waiting| waiting.id != hello.id) {
                self.waiting.push(hello);
            }
            return;
        }
        // It waits until somebody is lost, if that makes a difference. Its rows of
        // data would be those that others have.
        let has_rows = |spec: &crate::plan::DataSpec| spec.order == DataOrder::Unique;
        let is_of_use = self.gathering.on_loss == OnLoss::Rebalance
            && self.has_shelf()
            && !self.gathering.plan.data.iter().any(has_rows);
        if is_of_use {
            self.enlist(hello, None);
            let worker = self.peers.len() - 1;
            self.assign(worker).await;
            let name = self.peers[worker].name.to_string();
            self.say(worker as WorkerId, News::Joined(name));
        }
    }

    /// Sends a part of an artefact, or puts the worker in the queue.
    async fn fetch(&mut self, worker: WorkerId, sha256: String, offset: u64) {
        let now = Instant::now();
        // One that is silent in the middle of it keeps nobody waiting.
        self.turns.active.retain(|_, last| now < *last + BEAT);
        let is_active = self.turns.active.contains_key(&worker);
        if !is_active && self.turns.active.len() >= FETCHING {
            self.turns
                .waiting
                .retain(|(waiting, ..)| *waiting != worker);
            self.turns.waiting.push_back((worker, sha256, offset));
            return;
        }
        self.serve(worker, sha256, offset).await;
        self.serve_waiting(now).await;
    }

    async fn serve_waiting(&mut self, now: Instant) {
        self.turns.active.retain(|_, last| now < *last + BEAT);
        while self.turns.active.len() < FETCHING
            && let Some((worker, sha256, offset)) = self.turns.waiting.pop_front()
        {
            self.serve(worker, sha256, offset).await;
        }
    }

    async fn serve(&mut self, worker: WorkerId, sha256: String, offset: u64) {
        let (bytes, is_last) = self.shelf.read(&sha256, offset);
        match is_last {
            true => _ = self.turns.active.remove(&worker),
            false => _ = self.turns.active.insert(worker, Instant::now()),
        }
        let part = Part {
            sha256,
            offset,
            bytes,
        };
        let to = self.subjects.one(&self.peers[worker as usize].id);
        self.connection.send(to, &ToWorker::Part(part)).await;
    }
}

/// Why a worker and a master do not go together.
fn mismatch(hello: &Hello, ours: &Identity) -> Option<String> {
    if hello.v != VERSION {
        return Some(format!(
            "it speaks version {} of the protocol, and the master version {VERSION}: use the same \
             version of squall everywhere",
            hello.v
        ));
    }
    if hello.host_version != ours.host_version {
        return Some(format!(
            "it is squall {}, and the master is squall {}: use the same version everywhere",
            hello.host_version, ours.host_version
        ));
    }
    if hello.wit != ours.wit {
        return Some(format!(
            "it runs scripts for {}, and the master for {}: use the same version everywhere",
            hello.wit.join(" and "),
            ours.wit.join(" and ")
        ));
    }
    None
}

fn gone() -> Error {
    Error::Cluster(Problem::new("the connection to the NATS server has ended"))
}

fn refused(complaint: &str) -> Error {
    Error::Cluster(
        Problem::new(format!(
            "the NATS server refuses what the master does: {complaint}"
        ))
        .hint(
            "this key may be a worker's: the master's may publish below `squall.CLUSTER.m` \
                   and subscribe below `squall.CLUSTER.w` and `squall.CLUSTER.m.run`",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_told_in_plain_words() {
        let ours = Identity {
            host_version: "0.2.0".to_owned(),
            wit: vec!["squall:script@0.2".to_owned()],
        };
        let hello = |v, version: &str, wit: &str| Hello {
            v,
            host_version: version.to_owned(),
            wit: vec![wit.to_owned()],
            ..Hello::default()
        };
        let same = hello(VERSION, "0.2.0", "squall:script@0.2");
        assert_eq!(mismatch(&same, &ours), None);
        for (other, names) in [
            (hello(9, "0.2.0", "squall:script@0.2"), "version 9"),
            (hello(VERSION, "0.1.0", "squall:script@0.2"), "squall 0.1.0"),
            (
                hello(VERSION, "0.2.0", "squall:script@0.1"),
                "squall:script@0.1",
            ),
        ] {
            let why = mismatch(&other, &ours).expect("another");
            assert!(
                why.contains(names) && why.contains("the same version"),
                "{why}"
            );
        }
    }
}
