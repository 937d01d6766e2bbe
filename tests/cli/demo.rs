//! `squall demo`, and the components that it brings with it.

use crate::support::command::Squall;
use crate::support::guests::check_embedded;

#[test]
fn the_demo_needs_nothing_and_shows_requests_and_failures() {
    let outcome = Squall::new(["demo", "--duration", "2s"])
        .env("COLUMNS", "100")
        .run()
        .exited(0);
    let end = &outcome.entries("loadtest.run.end")[0];
    assert_eq!(end["test"]["exit_code"], 0);
    assert!(
        end["test"]["totals"]["requests"].as_u64() > Some(20),
        "{end:#}"
    );
    assert!(
        end["test"]["totals"]["checks_passed"].as_u64() > Some(20),
        "{end:#}"
    );
    // One of twenty requests to `/flaky` fails.
    assert!(
        end["test"]["totals"]["failures"].as_u64() > Some(0),
        "{end:#}"
    );
    assert!(!outcome.entries("loadtest.request.error").is_empty());
    for shown in ["/fast", "/slow", "/flaky", "/json?page=[n]", "503"] {
        assert!(
            outcome.stderr.contains(shown),
            "no `{shown}`{}",
            outcome.story()
        );
    }
    assert!(!outcome.stderr.contains('\x1b'));
}

#[test]
fn the_embedded_components_are_what_their_sources_give() {
    check_embedded();
}
