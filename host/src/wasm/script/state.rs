//! What a VU's instance can reach: the data of its store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rustc_hash::FxHashMap;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::Inner;
use super::driver::Desk;
use super::http::{Prepared, Responses};
use super::output::GuestOutput;
use super::timing::Running;
use super::wasi_http::Outlet;
use crate::data::Sources;
use crate::event::Origin;
use crate::http::Client;
use crate::measure::{LogLevel, Tag};
use crate::recorder::measured::{NO_TAGS, Place, Row, TagSet};
use crate::stats::{Marks, shard};
use crate::vu::Seat;

/// How many handles on WASI's things, such as streams and timers, a VU may have: the
/// host keeps half a kilobyte or more for each.
pub(super) const RESOURCES: usize = 10_000;

/// The data of one VU's store.
pub(super) struct State {
    pub(super) seat: Seat,
    /// What it was made from.
    pub(super) template: Arc<Inner>,
    pub(super) desk: Arc<Desk>,
    pub(super) client: Arc<Client>,
    pub(super) iteration: u32,
    pub(super) iteration_started: Instant,
    /// In an open model, how long after it was due the iteration started.
    pub(super) lag: Option<Duration>,
    pub(super) stop_vu: bool,
    /// Tags on everything until the end of the iteration.
    pub(super) tags: Vec<Tag>,
    /// The marks of the run's tags and the scenario, and with those of `tags`.
    standing_marks: Marks,
    tag_marks: Marks,
    /// The marks of the transactions that are running.
    pub(super) groups: Marks,
    pub(super) default_headers: HeaderMap,
    pub(super) responses: Responses,
    pub(super) prepared: Vec<Option<Prepared>>,
    pub(super) transactions: FxHashMap<u32, Running>,
    pub(super) next_transaction: u32,
    pub(super) random: Xoshiro256PlusPlus,
    pub(super) sources: Arc<Sources>,
    /// What random rows are picked by, so that they change none of the others.
    pub(super) random_rows: Xoshiro256PlusPlus,
    /// Whether a row was asked for and there was none: the VU is to end.
    pub(super) without_rows: bool,
    pub(super) memory: MemoryLimit,
    pub(super) output: GuestOutput,
    /// How it sends requests by `wasi:http`, once it does.
    pub(super) outlet: Option<Box<Outlet>>,
    wasi: WasiCtx,
    pub(super) table: ResourceTable,
}

impl State {
    /// A new instance's data. `instance` counts the instances that this VU has
    /// had, so that a fresh one does not repeat the random numbers of the one
    /// it replaces.
    pub(super) fn new(
        seat: Seat,
        desk: Arc<Desk>,
        client: Arc<Client>,
        template: Arc<Inner>,
        sources: Arc<Sources>,
        instance: u32,
    ) -> Self {
        let plan = &seat.run.plan;
        let stream = |purpose: u64| {
            let vu = u64::from(seat.vu) << 32 | u64::from(instance);
            Xoshiro256PlusPlus::seed_from_u64(mix(mix(plan.seed, vu), purpose))
        };
        let output = GuestOutput::new(seat.clone());
        let marks = seat.marks();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let wasi = WasiCtx::builder()
            .stdout(output.stdout())
            .stderr(output.stderr())
            .envs(&template.env)
            .secure_random(stream(1))
            .insecure_random(stream(2))
            .insecure_random_seed(u128::from(mix(plan.seed, u64::from(seat.vu))))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self {
            random: stream(0),
            random_rows: stream(3),
            without_rows: false,
            sources,
            memory: MemoryLimit {
                limit: plan.limits.vu_memory,
                refused: None,
            },
            responses: Responses::new(plan.limits.vu_memory),
            seat,
            template,
            desk,
            client,
            iteration: 0,
            iteration_started: Instant::now(),
            lag: None,
            stop_vu: false,
            tags: Vec::new(),
            standing_marks: marks,
            tag_marks: marks,
            groups: Marks::default(),
            default_headers: HeaderMap::new(),
            prepared: Vec::new(),
            transactions: FxHashMap::default(),
            next_transaction: 0,
            output,
            wasi,
            outlet: None,
            table,
        }
    }

    /// Prepares for iteration `number`.
    pub(super) fn begin_iteration(&mut self, number: u32, lag: Option<Duration>) {
        self.iteration = number;
        self.iteration_started = Instant::now();
        self.lag = lag;
        self.tags.clear();
        self.tag_marks = self.standing_marks;
        self.output.begin_iteration(number);
    }

    /// Which VU and iteration something comes from.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            scenario: self.seat.scenario.clone(),
            vu: self.seat.vu,
            iteration: self.iteration,
        }
    }

    /// The same, in the row of a measurement.
    pub(super) fn place(&self, row: &mut Row<'_>) -> Place {
        row.place(&self.seat.scenario, self.seat.vu, self.iteration)
    }

    /// The tags of something reported now, in the row of a measurement.
    pub(super) fn tag_set(&self, row: &mut Row<'_>, more: &[Tag]) -> TagSet {
        let has_any = !(self.template.tags.is_empty() && self.tags.is_empty() && more.is_empty());
        match has_any {
            true => row.tags(self.tags_with(more)),
            false => NO_TAGS,
        }
    }

    /// The tags of something reported now.
    pub(super) fn tags_with(&self, more: &[Tag]) -> Vec<Tag> {
        let given = &self.template.tags;
        let mut tags: Vec<Tag> = Vec::with_capacity(given.len() + self.tags.len() + more.len());
        for tag in given.iter().chain(&self.tags).chain(more) {
            match tags.iter_mut().find(|(name, _)| *name == tag.0) {
                Some(earlier) => earlier.1.clone_from(&tag.1),
                None => tags.push(tag.clone()),
            }
        }
        tags
    }

    /// Tags everything from now until the end of the iteration, or takes the tag
    /// away.
    pub(super) fn set_tag(&mut self, name: String, value: Option<String>) {
        self.tags.retain(|(known, _)| **known != *name);
        if let Some(value) = value {
            self.tags.push((name.into(), value.into()));
        }
        self.tag_marks = self.marks_of(&self.tags).over(self.standing_marks);
    }

    /// The marks of some tags.
    pub(super) fn marks_of(&self, tags: &[Tag]) -> Marks {
        let tags = tags.iter().map(|(name, value)| (&**name, &**value));
        shard::with(|shard| shard.marks(tags))
    }

    /// The marks of something measured now, beside those of tags of its own.
    pub(super) fn marks_with(&self, own: Marks) -> Marks {
        own.over(self.tag_marks) | self.groups
    }

    /// The marks of something measured now that has no tags of its own.
    pub(super) fn marks(&self) -> Marks {
        self.tag_marks | self.groups
    }

    /// Tells the author of the script that a call did not do what it says.
    pub(super) fn warn(&self, message: &str) {
        self.seat.run.log(self.origin(), LogLevel::Warn, message);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The cap on a VU's linear memory, all its memories together.
pub(super) struct MemoryLimit {
    limit: u64,
    /// What the guest asked for when it was refused, in bytes.
    pub(super) refused: Option<u64>,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired as u64 <= self.limit;
        if !fits {
            self.refused = Some(desired as u64);
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The pool bounds tables as well; this bounds them without one.
        Ok(desired <= 1 << 20)
    }
}

/// Mixes two numbers into one that looks like neither (SplitMix64's finalizer).
fn mix(seed: u64, value: u64) -> u64 {
    let mut mixed = seed ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
