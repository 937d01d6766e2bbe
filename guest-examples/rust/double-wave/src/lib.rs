//! Two waves of VUs within ten minutes, the second one lower, and then the end.

wit_bindgen::generate!({ world: "shape", path: "../../../wit/shape" });
use exports::squall::shape::load_shape::{Finding, Guest, RunInfo, Stats, Target, Vus};

struct DoubleWave;
export!(DoubleWave);

impl Guest for DoubleWave {
    fn start(_: RunInfo) -> Result<(), String> {
        Ok(())
    }
    fn target_at(elapsed_ms: f64, _: Stats) -> Option<Target> {
        let minute = elapsed_ms / 60_000.0;
        let wave = |peak: f64, at: f64| peak * (-(minute - at).powi(2)).exp();
        let count = (20.0 + wave(60.0, 3.0) + wave(40.0, 7.0)) as u32;
        (minute < 10.0).then_some(Target::Vus(Vus { count, per_s: None }))
    }
    fn report() -> Vec<Finding> {
        vec![]
    }
}
