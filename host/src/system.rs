//! What this process and its machine use.
//!
//! Beside the run: the conductor takes a sample at every system interval and
//! publishes it. A load generator that is short of something measures itself,
//! not the target, so a [`Watch`] turns samples into warnings.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sysinfo::{Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::event::{EventKind, ResourceKind, ResourceWarning, SystemUsage};

/// Takes samples. What the operating system does not tell is 0.
#[derive(Debug)]
pub struct Sampler {
    system: Option<System>,
    networks: Option<Networks>,
    pid: Option<Pid>,
    cores: u32,
    machine_memory: u64,
    /// When the last sample was taken, and the processor time used until then,
    /// in milliseconds.
    last: (Instant, u64),
    /// The machine's time and what was stolen of it when the last sample was
    /// taken.
    stolen: Option<Stolen>,
    /// The percentages of the last sample; `None` before there was time for one.
    percent: Option<Percent>,
    /// Sent and received before the run.
    network_before: (u64, u64),
}

/// What a process and its machine used between two samples, in percent.
#[derive(Debug, Clone, Copy)]
struct Percent {
    process: f64,
    machine: f64,
    steal: Option<f64>,
}

impl Sampler {
    /// The system counts processor time in ticks of 10 ms: percentages of less
    /// than this time are made of noise.
    const SHORTEST: Duration = Duration::from_millis(200);

    /// Begins to count: the first sample is about the time since now.
    pub fn new() -> Self {
        let mut system = System::new().ok();
        let machine_memory = system.as_mut().map_or(0, |system| {
            system.refresh_memory();
            // In a container, what it may use.
            let container = system.cgroup_limits().map(|limits| limits.total_memory);
            match container {
                Some(limit) if limit > 0 => limit.min(system.total_memory()),
                _ => system.total_memory(),
            }
        });
        let mut sampler = Self {
            system,
            networks: Networks::new_with_refreshed_list().ok(),
            pid: sysinfo::get_current_pid().ok(),
            cores: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            machine_memory,
            last: (Instant::now(), 0),
            stolen: Stolen::read(),
            percent: None,
            network_before: (0, 0),
        };
        sampler.network_before = sampler.network();
        let (cpu_ms, _) = sampler.process();
        sampler.last = (Instant::now(), cpu_ms);
        if let Some(system) = &mut sampler.system {
            system.refresh_cpu_usage();
        }
        sampler
    }

    /// Takes a sample: percentages since the last one, all else as it stands.
    /// So soon after the last one that percentages would tell nothing, they are
    /// the last one's; 0 if there was none, see [`Sampler::knows_cpu`]. The
    /// scheduler's lag is not known here. Reads some files of the system, in
    /// about a millisecond.
    pub fn sample(&mut self) -> SystemUsage {
        let (cpu_ms, memory_bytes) = self.process();
        let now = Instant::now();
        let (before, cpu_before) = self.last;
        let elapsed = now.duration_since(before);
        if elapsed >= Self::SHORTEST {
            self.last = (now, cpu_ms);
            let used_ms = cpu_ms.saturating_sub(cpu_before) as f64;
            let machine = self.system.as_mut().map_or(0.0, |system| {
                system.refresh_cpu_usage();
                f64::from(system.global_cpu_usage())
            });
            let stolen = Stolen::read();
            let steal = stolen.zip(self.stolen);
            self.percent = Some(Percent {
                process: used_ms / (elapsed.as_secs_f64() * 1e3) * 100.0,
                machine,
                steal: steal.and_then(|(now, before)| now.percent_since(before)),
            });
            self.stolen = stolen;
        }
        let percent = self.percent.unwrap_or(Percent {
            process: 0.0,
            machine: 0.0,
            steal: None,
        });
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
        }
        let (sent, received) = self.network();
        SystemUsage {
            cpu_percent: percent.process,
            cores: self.cores,
            machine_cpu_percent: percent.machine,
            machine_steal_percent: percent.steal,
            scheduler_lag_ms: 0.0,
            memory_bytes,
            machine_memory_bytes: self.machine_memory,
            threads: threads(),
            open_files: open_files(),
            open_files_limit: open_files_limit(),
            // An interface may have gone, and its numbers with it.
            network_sent_bytes: sent.saturating_sub(self.network_before.0),
            network_received_bytes: received.saturating_sub(self.network_before.1),
            // The conductor knows of requests.
            requests_sent_bytes: 0,
            requests_received_bytes: 0,
        }
    }

    /// Whether there was time enough yet to tell the use of processors.
    pub fn knows_cpu(&self) -> bool {
        self.percent.is_some()
    }

    /// The processor time the process has used, in milliseconds, and its
    /// resident memory, in bytes.
    fn process(&mut self) -> (u64, u64) {
        let (Some(system), Some(pid)) = (&mut self.system, self.pid) else {
            return (0, 0);
        };
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            false,
            ProcessRefreshKind::nothing()
                .with_cpu()
                .with_memory()
                .without_tasks(),
        );
        system.process(pid).map_or((0, 0), |process| {
            (process.accumulated_cpu_time(), process.memory())
        })
    }

    /// Bytes sent and received by the machine's own interfaces, without those
    /// inside it, which would count the same bytes again.
    fn network(&self) -> (u64, u64) {
        let Some(networks) = &self.networks else {
            return (0, 0);
        };
        let is_hardware = |name: &OsStr| {
            Path::new("/sys/class/net")
                .join(name)
                .join("device")
                .exists()
        };
        let any_hardware = networks.keys().any(|name| is_hardware(name));
        networks
            .iter()
            .filter(|(name, _)| match any_hardware {
                true => is_hardware(name),
                // In a container, or on another system.
                false => !name.as_encoded_bytes().starts_with(b"lo"),
            })
            .fold((0, 0), |(sent, received), (_, data)| {
                (
                    sent + data.total_transmitted(),
                    received + data.total_received(),
                )
            })
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

/// The time of all the machine's cores, in ticks, and what of it the machine's
/// own host gave to others: the first line of `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stolen {
    all: u64,
    stolen: u64,
}

impl Stolen {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The columns are user, nice, system, idle, iowait, irq, softirq, steal,
    /// and two more that are counted in the first two: proc_stat(5).
    fn parse(stat: &str) -> Option<Self> {
        let columns = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = columns
            .split_whitespace()
            .take(8)
            .map(|column| column.parse().ok())
            .collect::<Option<_>>()?;
        Some(Self {
            all: ticks.iter().sum(),
            stolen: *ticks.get(7)?,
        })
    }

    fn percent_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let stolen = self.stolen.saturating_sub(before.stolen);
        Some(stolen as f64 / all as f64 * 100.0)
    }
}

/// The threads of this process; 0 where there is no `/proc`.
fn threads() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// The files this process has open; 0 where the system does not tell.
fn open_files() -> u32 {
    // Since Linux 6.2 the folder's size is their number.
    match fs::metadata("/proc/self/fd").map(|found| found.len()) {
        Ok(count) if count > 0 => return u32::try_from(count).unwrap_or(u32::MAX),
        _ => {}
    }
    let listed = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd"));
    // The folder itself is open while it is read.
    listed.map_or(0, |files| files.count().saturating_sub(1) as u32)
}

/// How many files this process may have open.
fn open_files_limit() -> u32 {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        limit.map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
    }
    #[cfg(not(unix))]
    0
}

/// Turns samples into warnings, and takes them back.
///
/// | resource | short of it | again enough |
/// |---|---|---|
/// | cpu | the process above 90 % of its cores or the machine above 95 %, in two samples in a row | both below 80 % |
/// | memory | the process above 90 % of the machine's | below 80 % |
/// | open files | above 90 % of the limit | below 80 % |
#[derive(Debug, Default)]
pub struct Watch {
    cpu: State,
    memory: State,
    open_files: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Enough,
    /// Short of it in one sample.
    Suspected,
    Short,
}

/// What a resource is held against.
#[derive(Debug, Clone, Copy)]
struct Level {
    value: f64,
    limit: f64,
    /// The part of the limit above which it is short.
    short_above: f64,
}

impl Level {
    /// The part of the limit below which there is enough again.
    const ENOUGH_BELOW: f64 = 0.8;

    fn is_short(&self) -> bool {
        self.value > self.limit * self.short_above
    }

    fn is_enough(&self) -> bool {
        // What is not known is not short.
        self.limit == 0.0 || self.value < self.limit * Self::ENOUGH_BELOW
    }
}

impl Watch {
    /// A watch that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next sample, and says what has changed with it:
    /// [`EventKind::ResourceWarning`] and [`EventKind::ResourceRecovered`]. The
    /// value is what was measured, the limit all there is of it.
    pub fn observe(&mut self, usage: &SystemUsage) -> Vec<EventKind> {
        let level = |value: f64, limit: f64, short_above| Level {
            value,
            limit,
            short_above,
        };
        let process = level(usage.cpu_percent, f64::from(usage.cores) * 100.0, 0.9);
        let machine = level(usage.machine_cpu_percent, 100.0, 0.95);
        let memory = level(
            usage.memory_bytes as f64,
            usage.machine_memory_bytes as f64,
            0.9,
        );
        let open_files = level(
            f64::from(usage.open_files),
            f64::from(usage.open_files_limit),
            0.9,
        );
        [
            self.cpu.next(ResourceKind::Cpu, &[process, machine], 2),
            self.memory.next(ResourceKind::Memory, &[memory], 1),
            self.open_files
                .next(ResourceKind::OpenFiles, &[open_files], 1),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether the process is short of anything.
    pub fn is_short(&self) -> bool {
        [self.cpu, self.memory, self.open_files].contains(&State::Short)
    }
}

impl State {
    /// Goes on by one sample. `needed` is in how many samples in a row the
    /// resource must be short: 1 or 2.
    fn next(&mut self, resource: ResourceKind, levels: &[Level], needed: u8) -> Option<EventKind> {
        let is_short = levels.iter().any(Level::is_short);
        let is_enough = levels.iter().all(Level::is_enough);
        let before = *self;
        *self = match before {
            Self::Short if is_enough => Self::Enough,
            Self::Short => Self::Short,
            Self::Enough if is_short && needed > 1 => Self::Suspected,
            _ if is_short => Self::Short,
            _ => Self::Enough,
        };
        // The one nearest to its limit speaks for all.
        let nearest = levels
            .iter()
            .max_by(|a, b| (a.value * b.limit).total_cmp(&(b.value * a.limit)))?;
        let warning = ResourceWarning {
            resource,
            value: nearest.value,
            limit: nearest.limit,
        };
        match (before, *self) {
            (Self::Enough | Self::Suspected, Self::Short) => {
                Some(EventKind::ResourceWarning(warning))
            }
            (Self::Short, Self::Enough) => Some(EventKind::ResourceRecovered(warning)),
            _ => None,
        }
    }
}

/// The name of this machine; `unknown` if it has none.
pub fn hostname() -> String {
    System::host_name().unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: SystemUsage = SystemUsage {
        cpu_percent: 10.0,
        cores: 2,
        machine_cpu_percent: 10.0,
        machine_steal_percent: None,
        scheduler_lag_ms: 0.0,
        memory_bytes: 100,
        machine_memory_bytes: 1000,
        threads: 4,
        open_files: 10,
        open_files_limit: 1000,
        network_sent_bytes: 0,
        network_received_bytes: 0,
        requests_sent_bytes: 0,
        requests_received_bytes: 0,
    };

    fn cpu(percent: f64) -> SystemUsage {
        SystemUsage {
            cpu_percent: percent,
            ..IDLE
        }
    }

    /// What changed, in short: `+` for a warning, `-` for its end.
    fn observe(watch: &mut Watch, usage: &SystemUsage) -> String {
        let changes: Vec<_> = watch
            .observe(usage)
            .into_iter()
            .map(|change| match change {
                EventKind::ResourceWarning(w) => {
                    format!("+{:?} {} of {}", w.resource, w.value, w.limit)
                }
                EventKind::ResourceRecovered(w) => {
                    format!("-{:?} {} of {}", w.resource, w.value, w.limit)
                }
                other => panic!("not a change of resources: {other:?}"),
            })
            .collect();
        changes.join(", ")
    }

    #[test]
    fn a_short_burst_is_no_shortage() {
        let mut watch = Watch::new();
        for percent in [190.0, 10.0, 190.0, 170.0, 190.0] {
            assert_eq!(observe(&mut watch, &cpu(percent)), "");
        }
        assert!(!watch.is_short());
    }

    #[test]
    fn a_shortage_is_told_once_and_ends_well_below_where_it_began() {
        let mut watch = Watch::new();
        for (percent, change) in [
            (190.0, ""),
            (195.0, "+Cpu 195 of 200"),
            (198.0, ""),
            (170.0, ""),
            (165.0, ""),
            (190.0, ""),
            (150.0, "-Cpu 150 of 200"),
            (190.0, ""),
            (190.0, "+Cpu 190 of 200"),
        ] {
            assert_eq!(observe(&mut watch, &cpu(percent)), change, "at {percent}");
        }
        assert!(watch.is_short());
    }

    #[test]
    fn a_busy_machine_is_a_shortage_too() {
        let mut watch = Watch::new();
        let busy = SystemUsage {
            machine_cpu_percent: 97.0,
            ..IDLE
        };
        assert_eq!(observe(&mut watch, &busy), "");
        assert_eq!(observe(&mut watch, &busy), "+Cpu 97 of 100");
        assert_eq!(observe(&mut watch, &IDLE), "-Cpu 10 of 100");
    }

    #[test]
    fn memory_and_open_files_are_told_at_once() {
        let mut watch = Watch::new();
        let short = SystemUsage {
            memory_bytes: 901,
            open_files: 950,
            ..IDLE
        };
        assert_eq!(
            observe(&mut watch, &short),
            "+Memory 901 of 1000, +OpenFiles 950 of 1000"
        );
        let better = SystemUsage {
            open_files: 790,
            ..short
        };
        assert_eq!(observe(&mut watch, &better), "-OpenFiles 790 of 1000");
    }

    #[test]
    fn between_the_two_limits_nothing_changes() {
        let memory = |bytes| SystemUsage {
            memory_bytes: bytes,
            ..IDLE
        };
        let files = |open_files| SystemUsage { open_files, ..IDLE };
        let mut watch = Watch::new();
        for (usage, change) in [
            (memory(899), ""),
            (memory(901), "+Memory 901 of 1000"),
            (memory(850), ""),
            (memory(950), ""),
            (memory(799), "-Memory 799 of 1000"),
            (memory(850), ""),
            (files(900), ""),
            (files(901), "+OpenFiles 901 of 1000"),
            (files(801), ""),
            (files(1000), ""),
            (files(799), "-OpenFiles 799 of 1000"),
        ] {
            assert_eq!(observe(&mut watch, &usage), change, "{usage:?}");
        }
    }

    #[test]
    fn time_that_was_stolen_is_a_part_of_all_time() {
        let stat = |text| Stolen::parse(text);
        let before = stat("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2 3\n").expect("columns");
        assert_eq!((before.all, before.stolen), (1000, 35));
        let after = stat("cpu  150 0 50 870 10 0 5 115 7 0\n").expect("columns");
        assert_eq!(after.percent_since(before), Some(40.0));
        // No time has passed, or the counter was set back.
        assert_eq!(before.percent_since(before), None);
        assert_eq!(before.percent_since(after), None);
        // Kernels before 2.6.11, and what is no such file.
        for text in ["cpu  100 0 50 800 10 0 5\n", "cpu  a b\n", "intr 1\n", ""] {
            assert_eq!(stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_short() {
        let mut watch = Watch::new();
        let unknown = SystemUsage::default();
        assert_eq!(observe(&mut watch, &unknown), "");
        assert_eq!(observe(&mut watch, &unknown), "");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sample_tells_what_this_process_uses() {
        let mut sampler = Sampler::new();
        sampler.sample();
        assert!(!sampler.knows_cpu());
        let spinning = Instant::now();
        let mut numbers = 0u64;
        while spinning.elapsed().as_millis() < 300 {
            numbers = std::hint::black_box(numbers.wrapping_add(1));
        }
        let usage = sampler.sample();
        assert!(sampler.knows_cpu());
        assert!(usage.machine_steal_percent.is_some(), "{usage:?}");
        assert!(usage.cpu_percent > 5.0, "{usage:?}");
        assert!(
            usage.cpu_percent < 110.0 * f64::from(usage.cores),
            "{usage:?}"
        );
        assert!(usage.machine_cpu_percent > 0.0, "{usage:?}");
        // Too soon after it for percentages of its own.
        let next = sampler.sample();
        assert_eq!(next.cpu_percent, usage.cpu_percent);
        assert_eq!(next.machine_cpu_percent, usage.machine_cpu_percent);
        assert!(usage.memory_bytes > 1 << 20, "{usage:?}");
        assert!(usage.machine_memory_bytes > usage.memory_bytes, "{usage:?}");
        assert!(usage.cores >= 1, "{usage:?}");
        assert!(usage.threads >= 2, "{usage:?}");
        assert!(usage.open_files_limit > usage.open_files, "{usage:?}");
        let before = open_files();
        let held: Vec<_> = (0..50)
            .map(|_| fs::File::open("/dev/null").expect("opens"))
            .collect();
        // Other tests open and close files meanwhile.
        assert!(open_files() >= before + 30);
        drop(held);
    }
}
