//! Whether a VU's memory stays what it was.

use std::time::{Duration, Instant};

use super::language::Language;
use crate::support::script;
use crate::support::server::Server;

/// How many iterations are looked at, as the server counts them.
const ITERATIONS: u64 = 20_000;

/// When the guest's own start and the host's tables are behind it.
const SETTLED: u64 = ITERATIONS / 4;

/// The run goes on for a little longer, so that it is there to be looked at.
const BEYOND: u64 = 500;

/// How much the process may grow by in between: what it would grow by if a VU kept
/// 1 KiB of each iteration, which is half of what one sends and reads. The host's
/// allocator takes some MiB in the first minute, in steps, however many iterations
/// there are in it.
const GROWTH: u64 = (ITERATIONS - SETTLED) * 1_024;

/// Sends and reads headers and bodies of a kilobyte, and looks at the memory of the
/// process: small responses hide what leaks.
pub(crate) fn soak(language: Language) {
    let server = Server::start();
    let mut run = script::case(&language.behaviour(), "soak", &server)
        .flag("--vus", "2")
        .flag("--iterations", (ITERATIONS + BEYOND).to_string())
        .timeout(Duration::from_secs(180))
        .start();
    let mut resident_after = |count: u64| {
        let start = Instant::now();
        while server.count("/reflect") < count {
            assert!(run.is_running(), "it ended before {count} iterations");
            assert!(start.elapsed() < Duration::from_secs(180), "it is too slow");
            std::thread::sleep(Duration::from_millis(5));
        }
        run.resident_bytes().expect("it is running")
    };
    let before = resident_after(SETTLED);
    let after = resident_after(ITERATIONS);
    let outcome = run.wait().exited(0);

    let summary = outcome.summary();
    let failures = summary.failures();
    assert_eq!(summary.count("/iterations/failed"), 0, "{failures:#?}");
    assert_eq!(server.count("/reflect"), ITERATIONS + BEYOND);
    assert!(
        after < before + GROWTH,
        "from {before} bytes after {SETTLED} iterations to {after} after {ITERATIONS}",
    );
}
