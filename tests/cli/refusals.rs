//! What squall refuses to run: it says what is wrong with which file or value,
//! and what to do about it.

use std::fs;
use std::path::PathBuf;

use crate::support::command::{Outcome, Squall, write};
use crate::support::guests::{example, test_guest};

/// Fails unless `script` is refused with all of `words` in the message.
#[track_caller]
fn refused(script: PathBuf, words: &[&str]) {
    let name = script.file_name().expect("a file").to_owned();
    let outcome = Squall::script(&script).flag("--iterations", "1").run();
    says(
        outcome,
        104,
        &[&[name.to_str().expect("UTF-8")], words].concat(),
    );
}

/// Fails unless it ended with `code`, nothing on stdout, and all of `words` and a
/// hint on stderr.
#[track_caller]
fn says(outcome: Outcome, code: i32, words: &[&str]) {
    let outcome = outcome.exited(code);
    assert_eq!(outcome.stdout, "", "{}", outcome.story());
    for word in words.iter().chain(&["hint:"]) {
        assert!(
            outcome.stderr.contains(word),
            "no `{word}`{}",
            outcome.story()
        );
    }
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.story());
}

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(folder.path().join(name), bytes);
    (folder, file)
}

#[test]
fn a_missing_file_is_refused() {
    refused(
        PathBuf::from("nowhere/missing.wasm"),
        &["nowhere/missing.wasm"],
    );
}

#[test]
fn a_text_file_is_refused() {
    let (_folder, file) = file("notes.wasm", b"export default function () {}\n");
    refused(file, &["component"]);
}

#[test]
fn an_empty_file_is_refused() {
    let (_folder, file) = file("empty.wasm", b"");
    refused(file, &["component"]);
}

#[test]
fn a_core_module_is_refused() {
    let (_folder, file) = file("core.wasm", b"\0asm\x01\0\0\0");
    refused(file, &["module", "component"]);
}

#[test]
fn a_component_that_breaks_off_is_refused() {
    let whole = fs::read(example("hello")).expect("it was built");
    let (_folder, file) = file("half.wasm", &whole[..whole.len() / 2]);
    refused(file, &["component"]);
}

#[test]
fn a_script_for_another_version_is_refused() {
    refused(
        test_guest("wrong_version"),
        &["squall:script", "0.9.0", "0.1.0"],
    );
}

#[test]
fn a_script_with_a_foreign_import_is_refused() {
    refused(test_guest("forbidden"), &["acme:secrets/vault@1.0.0"]);
}

#[test]
fn a_component_that_is_no_script_is_refused() {
    refused(test_guest("no_user"), &["user"]);
}

#[test]
fn a_recorder_is_refused_as_a_script() {
    refused(example("json"), &["recorder"]);
}

#[test]
fn a_script_is_refused_as_a_recorder() {
    let hello = example("hello");
    let outcome = Squall::script(&hello)
        .flag("--iterations", "1")
        .flag("--recorder", &hello)
        .run();
    says(outcome, 104, &["hello.wasm", "recorder"]);
}

#[test]
fn all_wrong_flags_are_reported_at_once() {
    let outcome = Squall::script(example("hello"))
        .flag("--vus", "many")
        .flag("--duration", "5 parsecs")
        .run();
    says(outcome, 104, &["--vus", "many", "--duration", "5 parsecs"]);
}

#[test]
fn all_wrong_variables_are_reported_at_once() {
    let outcome = Squall::script(example("hello"))
        .env("SQUALL_VUS", "many")
        .env("SQUALL_DURATION", "5 parsecs")
        .run();
    says(
        outcome,
        104,
        &["SQUALL_VUS", "many", "SQUALL_DURATION", "5 parsecs"],
    );
}

#[test]
fn a_misspelt_flag_is_answered_with_the_right_one() {
    let outcome = Squall::script(example("hello"))
        .flag("--vsu", "5")
        .run()
        .exited(2);
    assert!(outcome.stderr.contains("--vus"), "{}", outcome.story());
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_threshold_that_does_not_parse_is_refused_at_the_character() {
    let outcome = Squall::script(example("hello"))
        .flag("--threshold", "http_req_failed: rate < 1%")
        .run()
        .exited(104);
    let expected = "\
error: `--threshold`: expected `abort`, `,` or the end after the number
  http_req_failed: rate < 1%
                           ^
hint: shares are from 0 to 1: `0.01`
";
    assert_eq!(outcome.stderr, expected);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn every_mistake_in_thresholds_is_told_at_once() {
    let outcome = Squall::script(example("hello"))
        .flag("--threshold", "http_req_durations: p(95) < 5")
        .flag(
            "--threshold",
            "http_req_duration{name:/item/{id}}: p95 < 500, p(99) < 900ms, max < 5000",
        )
        .flag("--threshold", "iterations{name:a}: rate > 5")
        .flag("--threshold", "checks: rate[5] > 0.9 abort")
        .run()
        .exited(104);
    let expected = "\
error: the configuration has 5 mistakes
  - `--threshold`: expected the name of a metric
      http_req_durations: p(95) < 5
      ^
    hint: did you mean `http_req_duration`? A metric of the script's own that is named so goes in double quotes
  - `--threshold`: expected `p(N)`, `min`, `max`, `avg`, `med` or `count`, since the metric is a trend
      http_req_duration{name:/item/{id}}: p95 < 500, p(99) < 900ms, max < 5000
                                          ^
    hint: did you mean `p(95)`?
  - `--threshold`: expected `abort`, `,` or the end after the number
      http_req_duration{name:/item/{id}}: p95 < 500, p(99) < 900ms, max < 5000
                                                                ^
    hint: times are in milliseconds, without a unit: `900`
  - `--threshold`: expected a tag of `iterations`: `scenario`, or one of your own
      iterations{name:a}: rate > 5
                 ^
  - `--threshold`: expected a window from `1s` to `24h`, such as `30s`
      checks: rate[5] > 0.9 abort
                   ^
";
    assert_eq!(outcome.stderr, expected);
}

#[test]
fn more_vus_than_the_machine_can_hold_are_refused_with_the_number_that_fits() {
    let outcome = Squall::script(example("hello"))
        .flag("--vus", "3000000")
        .flag("--duration", "1s")
        .run();
    says(outcome, 104, &["3000000"]);
}
