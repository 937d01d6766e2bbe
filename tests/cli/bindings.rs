//! `squall bindings`: what a guest in C or Go needs to call the host.

use std::fs;

use crate::support::command::Squall;
use crate::support::guests::repository;

fn bindings(language: &str, wit: &str, world: &str, out: &str) -> Squall {
    let wit = repository().join("wit").join(wit);
    Squall::new(["bindings", language])
        .arg(wit)
        .flag("--world", world)
        .flag("--out", out)
}

#[test]
fn bindings_are_written_to_the_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (language, source) in [("c", "squall.h"), ("go", "imports/http/http.go")] {
        let out = folder.path().join(language);
        let path = out.to_str().expect("it is text");
        // A second time over the first: a build does so when the WIT has changed.
        for _ in 0..2 {
            let outcome = bindings(language, "script", "script", path).run().exited(0);
            assert_eq!(outcome.stdout + &outcome.stderr, "");
        }
        let source = fs::read_to_string(out.join(source)).expect("it was written");
        assert!(source.contains("How many redirects to follow."));
        let adapter = fs::read(out.join("wasi_snapshot_preview1.wasm")).expect("it was written");
        assert!(adapter.starts_with(b"\0asm"));
    }
}

#[test]
fn what_has_no_bindings_is_told_with_a_way_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let path = out.to_str().expect("it is text");
    for (wit, world, what, hint) in [
        (
            "recorder",
            "script",
            "has no world `script`",
            "there are: recorder",
        ),
        (
            "nowhere",
            "script",
            "holds no WIT package",
            "give the folder of one package",
        ),
    ] {
        let outcome = bindings("c", wit, world, path).run().exited(104);
        assert!(outcome.stderr.contains(what), "{}", outcome.story());
        let hint = format!("hint: {hint}");
        assert!(outcome.stderr.contains(&hint), "{}", outcome.story());
    }
    assert!(!out.exists(), "nothing is written");
}
