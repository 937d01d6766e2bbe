//! A shape that does what its options say, and harm if they say so.
//!
//! `--shape misshape.wasm,plan=5+10+0,unit=vus` has a target for each second, and ends after
//! the last. `mode=trap` does harm at the call that `at` says: `start`, `report`, or the number
//! of a call of `target-at`, from 0. `../README.md` lists the modes.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use exports::squall::shape::load_shape::{
    Finding, Guest, Quantity, RunInfo, Stats, Target, Value, Vus,
};

wit_bindgen::generate!({ world: "shape", path: "../../../wit/shape" });

#[derive(Default)]
struct State {
    mode: String,
    at: String,
    unit: String,
    per_s: Option<f64>,
    plan: Vec<f64>,
    /// How many calls of `target-at` there were, and what they told.
    calls: usize,
    told: Vec<String>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

struct Misshape;

export!(Misshape);

impl Guest for Misshape {
    fn start(run: RunInfo) -> Result<(), String> {
        let mut state = State {
            at: "0".to_owned(),
            unit: "vus".to_owned(),
            plan: vec![1.0],
            ..State::default()
        };
        state.told.push(format!(
            "{} {} {:?}",
            run.test_plan, run.max_vus, run.max_duration_ms
        ));
        for (name, value) in run.options {
            match name.as_str() {
                "mode" => state.mode = value,
                "at" => state.at = value,
                "unit" => state.unit = value,
                "per-s" => state.per_s = Some(value.parse().map_err(|_| "no number")?),
                "plan" => {
                    let plan: Result<_, _> = value.split('+').map(str::parse).collect();
                    state.plan = plan.map_err(|_| "no numbers")?;
                }
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        STATE.set(state);
        do_harm("start");
        Ok(())
    }

    fn target_at(elapsed_ms: f64, stats: Stats) -> Option<Target> {
        let call = STATE.with_borrow_mut(|state| {
            state.told.push(format!(
                "{elapsed_ms:.0}:{}/{}",
                stats.interval.iterations, stats.total.iterations
            ));
            state.calls += 1;
            state.calls - 1
        });
        let wrong = do_harm(&call.to_string());
        STATE.with_borrow(|state| {
            // By the clock, not by the calls: some of them take long.
            let level = *state.plan.get((elapsed_ms / 1e3).round() as usize)?;
            Some(match (state.unit.as_str(), wrong) {
                (_, true) if state.mode == "rate" => Target::Rate(level),
                (_, true) if state.mode == "nan" => Target::Rate(f64::NAN),
                (_, true) if state.mode == "negative" => Target::Rate(-1.0),
                (_, true) if state.mode == "huge" => Target::Rate(1e300),
                ("rate", _) => Target::Rate(level),
                _ => Target::Vus(Vus {
                    count: level as u32,
                    per_s: state.per_s,
                }),
            })
        })
    }

    fn report() -> Vec<Finding> {
        do_harm("report");
        let (calls, told) = STATE.with_borrow(|state| (state.calls as f64, state.told.join(" ")));
        let (name, unit) = ("calls".to_owned(), String::new());
        let calls = Value::Number(Quantity { value: calls, unit });
        let told = Value::Text(told);
        vec![
            Finding { name, value: calls },
            Finding {
                name: "told".to_owned(),
                value: told,
            },
        ]
    }
}

/// Whether this is the call to do harm in; most kinds of it do not come back.
fn do_harm(place: &str) -> bool {
    let mode = STATE.with_borrow(|state| match state.at == place {
        true => state.mode.clone(),
        false => String::new(),
    });
    match mode.as_str() {
        "" => return false,
        "trap" => panic!("the shape is no more"),
        "spin" => loop {
            black_box(());
        },
        "sleep" => std::thread::sleep(Duration::from_secs(3_600)),
        "slow" => std::thread::sleep(Duration::from_millis(2_500)),
        "hoard" => {
            let mut hoard = Vec::new();
            loop {
                // Nothing is written to it, which would take its time.
                hoard.push(black_box(Vec::<u8>::with_capacity(16 << 20)));
            }
        }
        _ => {}
    }
    true
}
