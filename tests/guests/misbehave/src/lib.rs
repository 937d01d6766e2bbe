//! A script that does harm, in the way the environment variable `CASE` says, in
//! every iteration, or with `EVERY=n` only in every n-th of a VU's;
//! with `ONLY_VU=v` only in those of the VU `v`.
//!
//! An iteration that behaves sends one `GET /`. Only `spin-in-setup` and
//! `spin-in-start` do their harm in the hooks of those names.

use std::hint::black_box;

use exports::squall::script::{lifecycle, user};
use squall::script::{execution, http};

wit_bindgen::generate!({ world: "script-with-lifecycle", path: "../../../wit/script" });

struct Misbehave;

export!(Misbehave);

impl user::Guest for Misbehave {
    fn iterate() -> Result<(), String> {
        if !is_due() {
            return behave();
        }
        match case().as_str() {
            "none" | "spin-in-start" | "spin-in-setup" => behave(),
            "err" => Err("the script says no".to_owned()),
            "panic" => panic_with_a_message(),
            "trap" => trap(),
            "spin" => spin(),
            "allocate" => allocate_at_once(),
            "deep-alloc-loop" => allocate_piece_by_piece(),
            "overflow" => Err(format!("no overflow at a depth of {}", recurse(0))),
            "exit" => std::process::exit(3),
            "exit-well" => std::process::exit(0),
            case => Err(format!("no such case: {case}")),
        }
    }
}

impl lifecycle::Guest for Misbehave {
    fn setup() -> Result<String, String> {
        if case() == "spin-in-setup" {
            spin()
        } else {
            Ok(String::new())
        }
    }

    fn on_start(_data: String) -> Result<(), String> {
        if case() == "spin-in-start" {
            spin()
        } else {
            Ok(())
        }
    }

    fn on_stop() {}

    fn teardown(_data: String) {}
}

fn case() -> String {
    std::env::var("CASE").unwrap_or_default()
}

fn is_due() -> bool {
    let only = std::env::var("ONLY_VU")
        .ok()
        .and_then(|only| only.parse::<u32>().ok());
    if only.is_some_and(|only| only != execution::vu_id()) {
        return false;
    }
    let every = std::env::var("EVERY")
        .ok()
        .and_then(|every| every.parse::<u32>().ok());
    every.is_none_or(|every| (execution::iteration() + 1).is_multiple_of(every))
}

fn behave() -> Result<(), String> {
    match http::get("/", None).status() {
        200 => Ok(()),
        status => Err(format!("status {status}")),
    }
}

// These are not inlined so that their names are found in the stack of a trap.

#[inline(never)]
fn panic_with_a_message() -> ! {
    panic!("the script panics")
}

/// Traps without a word, on WebAssembly's own `unreachable`.
#[inline(never)]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// Never ends, and calls nobody.
#[inline(never)]
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Asks for a gibibyte, and writes to all of it.
#[inline(never)]
fn allocate_at_once() -> Result<(), String> {
    let bytes = black_box(vec![1_u8; 1 << 30]);
    Err(format!("got {} bytes", bytes.len()))
}

/// Asks for a mebibyte at a time and keeps it, up to three gibibytes.
#[inline(never)]
fn allocate_piece_by_piece() -> Result<(), String> {
    let mut pieces = Vec::new();
    for _ in 0..3 * 1024 {
        pieces.push(black_box(vec![1_u8; 1 << 20]));
    }
    Err(format!("got {} pieces of a mebibyte", pieces.len()))
}

/// Calls itself for ever. Keeps nearly nothing in linear memory, so that it is
/// the host's stack that overflows.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if black_box(true) {
        black_box(recurse(depth + 1)) + depth
    } else {
        depth
    }
}
