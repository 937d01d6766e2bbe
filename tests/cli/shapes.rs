//! Shapes: components that say, while a run goes on, how much load there is.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::queue::Queue;
use crate::support::server::Server;

/// `--shape` with a component and its options.
fn spec(component: &Path, options: &str) -> String {
    format!("{},{options}", component.display())
}

/// `squall run hello.wasm` with the shape that does what its options say.
fn misshaped(server: &Server, options: &str) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--shape", spec(&test_guest("misshape"), options))
}

/// A server's capacity, in requests a second: 10 workers take 100 ms each.
const CAPACITY: f64 = 100.0;
const WORKERS: usize = 10;
const SERVICE: Duration = Duration::from_millis(100);

/// Whoever was held up for longer than this did not measure the server alone.
const HELD_UP: Duration = Duration::from_millis(250);

/// Lets `goal_seek` search, and checks that what held is within 10 % of the
/// server's capacity: its report, and the whole outcome.
///
/// The generator needs next to nothing for a hundred requests a second, and the
/// search itself ends within 5 %. Where the result is off while the machine
/// demonstrably held up the generator or the server, it is the machine's, and the
/// search begins again; twice at the most.
fn sought(server: impl Fn() -> Queue, options: &str) -> (Value, Outcome) {
    let mut off = Vec::new();
    loop {
        let server = server();
        let outcome = Squall::script(example("hello"))
            .flag("--base-url", server.url())
            .flag("--shape", spec(&example("goal_seek"), options))
            .timeout(Duration::from_secs(600))
            .run()
            .exited(0);
        let summary = outcome.summary();
        let report = summary.at("/shape/report").clone();
        let held = report["held"]["value"].as_f64().unwrap_or(0.0);
        let is_right = (held - CAPACITY).abs() <= 0.1 * CAPACITY;
        if is_right && report["found"] == "yes" {
            assert_eq!(report["held"]["unit"], "/s");
            return (report, outcome);
        }
        let lag_ms = summary.at("/health/scheduler_lag_max_ms").as_f64();
        let lag = Duration::from_secs_f64(lag_ms.expect("a time") / 1e3);
        let held_up = lag.max(server.latest());
        off.push(format!("held up for {held_up:?}: {report:#}"));
        assert!(
            held_up > HELD_UP && off.len() < 3,
            "the capacity is {CAPACITY}: {}",
            off.join("\n")
        );
    }
}

#[test]
fn goal_seeking_finds_the_knee_of_a_server_with_a_known_capacity() {
    // The limit is ten times what a request takes.
    let server = || Queue::start(WORKERS, SERVICE);
    let (report, outcome) = sought(server, "p99=1s,start=40,factor=1.6,hold=6s");
    let held = report["held"]["value"].as_f64().expect("a rate");
    let broke = report["broke"]["value"].as_f64().expect("a rate");
    assert!(held < broke && broke <= 1.05 * held, "{report:#}");
    // People read it, and so do recorders.
    let said = |text: &str, of: &str| assert!(of.contains(text), "no `{text}`{}", outcome.story());
    said("Shape goal_seek", &outcome.stderr);
    said("p99 <= 1000 ms, errors <= 1 %", &outcome.stderr);
    let lines = outcome.entries("loadtest.shape.result");
    let line = lines
        .iter()
        .find(|line| line["shape"]["finding"] == "held")
        .expect("a line for it");
    assert_eq!(line["shape"]["value"], held);
}

#[test]
fn goal_seeking_finds_the_rate_from_which_on_a_server_refuses() {
    // 6 % too much make a queue of half a second within the 12 s of a level.
    let server = || Queue::that_refuses(WORKERS, SERVICE, Duration::from_millis(500));
    let (report, _) = sought(server, "errors=2%,start=60,factor=1.5,hold=10s");
    let goal = report["goal"].as_str().expect("a text");
    assert_eq!(goal, "errors <= 2 %");
}

#[test]
fn a_shape_says_how_many_vus_there_are_and_when_the_run_ends() {
    // Each VU has a connection of its own, and none has to wait.
    let server = Queue::start(100, Duration::from_millis(20));
    let options = "plan=2+2+6+6+2+2+5+5+1";
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url())
        .flag("--shape", spec(&test_guest("misshape"), options))
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(server.turns(), [6, 2, 5, 0]);
    assert_eq!(summary.at("/reason/kind"), "completed");
    assert_eq!(summary.count("/all/requests"), server.requests());
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    let told = summary.at("/shape/report/told").as_str().expect("a text");
    // Before the start it is asked for the first time, and nothing has happened.
    assert!(told.starts_with("hello "), "{told}");
    assert!(told.contains(" None 0:0/0 "), "{told}");
}

#[test]
fn a_shape_that_asks_for_a_rate_makes_an_open_model() {
    let server = Server::start();
    let plan = [50.0, 50.0, 100.0, 100.0, 20.0, 20.0];
    let outcome = misshaped(&server, "unit=rate,plan=50+50+100+100+20+20")
        .run()
        .exited(0);
    let summary = outcome.summary();
    let executor = summary.at("/run/plan/scenarios/0/executor/name");
    assert_eq!(executor, "constant-arrival-rate");
    assert_eq!(summary.count("/all/requests"), server.count("/"));
    // When it was asked it knows best.
    let told = summary.at("/shape/report/told").as_str().expect("a text");
    let asked: Vec<f64> = told
        .split(' ')
        .filter_map(|told| told.split_once(':')?.0.parse().ok())
        .map(|elapsed_ms: f64| elapsed_ms / 1e3)
        .collect();
    let due: f64 = asked
        .windows(2)
        .map(|pair| plan[pair[0].round() as usize] * (pair[1] - pair[0]))
        .sum();
    let dropped = summary.count("/iterations/dropped");
    let started = (server.count("/") + dropped) as f64;
    // A target holds from some 20 ms after it was asked for.
    assert!(
        (started - due).abs() < 0.1 * due,
        "{started} of {due}: {told}"
    );
}

#[test]
fn the_user_says_when_a_shape_ends_at_the_latest() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--shape", example("double_wave"))
        .flag("--duration", "2s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "completed");
    assert_eq!(summary.at("/shape/failure"), &serde_json::Value::Null);
    assert_eq!(summary.at("/run/plan/scenarios/0/executor/start_vus"), 20);
}

#[test]
fn a_shape_that_fails_ends_the_run_in_good_order() {
    let server = Server::start();
    for (options, words) in [
        ("mode=trap,at=1,plan=2+2+2", "the shape is no more"),
        (
            "mode=hoard,at=1,plan=2+2+2",
            "it wanted more than 256.0 MiB of memory",
        ),
        (
            "mode=rate,at=1,plan=2+2+2",
            "it asked for 2 iterations a second, in a run that has VUs",
        ),
        (
            "mode=nan,at=1,unit=rate,plan=50+50+50",
            "it asked for a rate of NaN a second",
        ),
        (
            "mode=negative,at=1,unit=rate,plan=50+50+50",
            "it asked for a rate of -1.0 a second",
        ),
        (
            "mode=huge,at=1,unit=rate,plan=50+50+50",
            "it asked for a rate of 1e300 a second",
        ),
    ] {
        let before = server.count("/");
        let outcome = misshaped(&server, options).run().exited(110);
        let summary = outcome.summary();
        assert_eq!(summary.at("/reason/kind"), "other");
        let failure = summary.at("/shape/failure").as_str().expect("it failed");
        assert!(failure.contains(words), "{failure}");
        assert!(
            outcome.stderr.contains("the shape failed"),
            "{}",
            outcome.story()
        );
        // What was measured is all there.
        assert_eq!(summary.count("/all/requests"), server.count("/") - before);
        assert!(summary.count("/all/requests") > 0);
        assert_eq!(summary.count("/iterations/interrupted"), 0);
    }
}

#[test]
fn a_shape_that_fails_in_the_end_has_nothing_to_report() {
    let server = Server::start();
    let outcome = misshaped(&server, "mode=trap,at=report,plan=2")
        .run()
        .exited(110);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "completed");
    let failure = summary.at("/shape/failure").as_str().expect("it failed");
    assert!(failure.contains("the shape is no more"), "{failure}");
    assert_eq!(summary.at("/shape/report").to_string(), "{}");
}

#[test]
fn the_load_goes_on_while_a_shape_thinks_and_for_ever_is_too_long() {
    let server = Server::start();
    for mode in ["spin", "sleep"] {
        let options = format!("mode={mode},at=1,unit=rate,plan=50+50+50");
        let outcome = misshaped(&server, &options).run().exited(110);
        let summary = outcome.summary();
        let failure = summary.at("/shape/failure").as_str().expect("it failed");
        assert_eq!(failure, "a call took longer than 5s");
        // A second before it was asked, and five while it was.
        assert!(summary.count("/iterations/finished") > 150);
    }
    let outcome = misshaped(&server, "mode=slow,at=1,plan=1+1+1+1+3+1")
        .run()
        .exited(0);
    assert_eq!(
        outcome.summary().at("/shape/failure"),
        &serde_json::Value::Null
    );
}

#[test]
fn a_shape_gets_no_more_vus_than_there_may_be() {
    let server = Server::start();
    let outcome = misshaped(&server, "plan=3+50+50+3")
        .flag("--max-vus", "5")
        .run()
        .exited(0);
    let summary = outcome.summary();
    let warnings = summary.at("/warnings").to_string();
    assert!(
        warnings.contains("the shape asked for 50 VUs, and there were 5 at the most"),
        "{warnings}"
    );
    assert!(summary.count("/iterations/finished") > 0);
}

#[test]
fn a_shape_that_cannot_start_ends_the_run_before_it_starts() {
    let server = Server::start();
    for (shape, words) in [
        (
            spec(&test_guest("misshape"), "colour=red"),
            "the shape `misshape` cannot start: it refused to start: unknown option `colour`",
        ),
        (
            spec(&test_guest("misshape"), "mode=trap,at=start"),
            "the shape is no more",
        ),
        (
            spec(&example("goal_seek"), "start=5"),
            "no goal: say what must hold, such as p99=500ms",
        ),
        (
            example("hello").display().to_string(),
            "is a script, not a shape",
        ),
        ("missing.wasm".to_owned(), "cannot read `missing.wasm`"),
    ] {
        let outcome = Squall::script(example("hello"))
            .flag("--base-url", server.url(""))
            .flag("--shape", shape)
            .run()
            .exited(104);
        assert!(outcome.stderr.contains(words), "{}", outcome.story());
    }
    assert_eq!(server.total(), 0);
}

#[test]
fn what_says_how_much_load_there_is_does_not_go_with_a_shape() {
    let outcome = Squall::script(example("hello"))
        .flag("--shape", example("double_wave"))
        .flag("--vus", "5")
        .flag("--rate", "10/s")
        .run()
        .exited(104);
    let stderr = &outcome.stderr;
    for words in [
        "--vus",
        "--rate",
        "the shape says how much load there is",
        "--max-vus",
    ] {
        assert!(stderr.contains(words), "no `{words}`{}", outcome.story());
    }
}

#[test]
fn a_shape_is_described() {
    let shape = example("double_wave");
    let outcome = Squall::new(["inspect".as_ref(), shape.as_os_str()])
        .run()
        .exited(0);
    for words in ["a shape for squall:shape 0.1.0", "start, target-at, report"] {
        assert!(outcome.stdout.contains(words), "{}", outcome.story());
    }
}
