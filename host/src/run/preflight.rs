//! What the machine must have before a run starts.
//!
//! A process that runs out of memory maps is killed without a word, and one
//! that runs out of files fails requests that were never sent. Both limits are
//! known beforehand, so a plan beyond them is refused with the number of VUs
//! that fit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Problem};

/// Memory maps of one VU: its memory, its stack and the guards between them.
/// Measured: 6 with a pooled, copy-on-write memory.
const MAPS_PER_VU: u64 = 6;
/// Memory maps and files of everything else: libraries, threads, heaps.
const MAPS_RESERVED: u64 = 3_000;
const FILES_RESERVED: u64 = 100;

/// How many VUs the machine's limits leave room for. Raises the limit on open
/// files as far as allowed.
pub fn room() -> u32 {
    room_in(raise_open_files(), memory_maps())
}

fn memory_maps() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
}

fn room_in(files: Option<u64>, maps: Option<u64>) -> u32 {
    let files = files.map(|files| files.saturating_sub(FILES_RESERVED));
    let maps = maps.map(|maps| maps.saturating_sub(MAPS_RESERVED) / MAPS_PER_VU);
    let room = files.into_iter().chain(maps).min();
    room.map_or(u32::MAX, |room| u32::try_from(room).unwrap_or(u32::MAX))
}

/// Raises the limit on open files as far as allowed, and checks that the
/// machine has room for `vus` VUs.
///
/// # Errors
///
/// If it has not: says which limit is in the way, how many VUs fit, and how to
/// raise it.
pub fn check(vus: u32) -> Result<(), Error> {
    let files = raise_open_files();
    fits(vus, files, memory_maps()).map_err(Error::Machine)
}

fn fits(vus: u32, files: Option<u64>, maps: Option<u64>) -> Result<(), Problem> {
    if let Some(files) = files {
        let room = files.saturating_sub(FILES_RESERVED);
        if u64::from(vus) > room {
            return Err(Problem::new(format!(
                "{vus} VUs need a connection each, and this process may open {files} files: \
                 {room} VUs fit"
            ))
            .hint("raise the limit with `ulimit -n`, or use fewer VUs"));
        }
    }
    if let Some(maps) = maps {
        let room = maps.saturating_sub(MAPS_RESERVED) / MAPS_PER_VU;
        if u64::from(vus) > room {
            return Err(Problem::new(format!(
                "{vus} VUs need {} memory maps, and this machine allows a process {maps}: \
                 {room} VUs fit",
                u64::from(vus) * MAPS_PER_VU + MAPS_RESERVED
            ))
            .hint(format!(
                "raise the limit with `sysctl vm.max_map_count={}`, or use fewer VUs",
                u64::from(vus) * MAPS_PER_VU + 2 * MAPS_RESERVED
            )));
        }
    }
    Ok(())
}

/// The limit on open files, raised to what the system allows; `None` is no
/// limit.
fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return limit.maximum;
        }
    }
    limit.current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_vus_fit_into_linux_defaults() {
        assert!(fits(10_000, Some(20_000), Some(65_530)).is_ok());
    }

    #[test]
    fn a_refusal_names_the_number_that_fits() {
        let files = fits(10_000, Some(1_024), Some(65_530)).expect_err("too many");
        assert!(files.what.contains("924 VUs fit"), "{files}");
        let maps = fits(12_000, Some(20_000), Some(65_530)).expect_err("too many");
        assert!(maps.what.contains("10421 VUs fit"), "{maps}");
        assert!(fits(10_421, Some(20_000), Some(65_530)).is_ok());
        assert_eq!(room_in(Some(20_000), Some(65_530)), 10_421);
        assert_eq!(room_in(Some(1_024), None), 924);
        assert_eq!(room_in(None, None), u32::MAX);
    }
}
