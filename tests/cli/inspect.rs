//! `squall inspect`: what a component is, in plain words.

use crate::support::command::{Squall, write};
use crate::support::guests::{example, test_guest};

#[test]
fn a_script_is_described() {
    let script = example("shop");
    let size = std::fs::metadata(&script).expect("it was built").len();
    assert!(size > 0);
    let outcome = Squall::new(["inspect".as_ref(), script.as_os_str()])
        .run()
        .exited(0);
    for word in [
        "script",
        "0.1.0",
        "http",
        "timing",
        "metrics",
        "user",
        "lifecycle",
        "options",
    ] {
        assert!(
            outcome.stdout.contains(word),
            "no `{word}`{}",
            outcome.story()
        );
    }
}

#[test]
fn what_a_script_imports_is_named_and_nothing_else() {
    let imports_data = |script: &std::path::Path| {
        let outcome = Squall::new(["inspect".as_ref(), script.as_os_str()]).run();
        let outcome = outcome.exited(0);
        outcome.stdout.contains("squall:script/data") || outcome.stdout.contains("  data: ")
    };
    assert!(imports_data(&test_guest("feeder")));
    // The world offers it, and this script does not use it.
    assert!(!imports_data(&example("shop")));
}

#[test]
fn a_recorder_is_described() {
    let outcome = Squall::new(["inspect".as_ref(), example("json").as_os_str()])
        .run()
        .exited(0);
    for word in ["recorder", "0.1.0", "event-handler"] {
        assert!(
            outcome.stdout.contains(word),
            "no `{word}`{}",
            outcome.story()
        );
    }
}

#[test]
fn what_keeps_a_script_from_running_is_told() {
    let outcome = Squall::new(["inspect".as_ref(), test_guest("forbidden").as_os_str()]).run();
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(told.contains("acme:secrets/vault"), "{}", outcome.story());
}

#[test]
fn what_is_no_component_is_refused() {
    let squall = Squall::new(["inspect"]);
    let file = write(squall.file("notes.wasm"), b"notes\n");
    let outcome = squall.arg(&file).run().exited(104);
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains("notes.wasm"), "{}", outcome.story());
    assert!(outcome.stderr.contains("hint:"), "{}", outcome.story());
}
