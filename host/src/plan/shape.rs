//! A shape in a plan: the component that says how much load there is.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Arrivals, Executor, Stage};
use crate::units::Rate;

/// How long a scenario lasts that only its shape ends: longer than any run.
pub const ENDLESS: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A shape as the user asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeSpec {
    /// The component's file.
    pub path: PathBuf,
    /// Its options, as written: `FILE,key=value`.
    pub options: Vec<(String, String)>,
    /// How iterations are spread over time, if the shape asks for a rate.
    pub arrivals: Arrivals,
    /// How long a VU that is one too many may go on with its iteration, if the
    /// shape asks for VUs.
    #[serde(with = "super::time")]
    pub graceful_ramp_down: Duration,
}

impl ShapeSpec {
    /// What it is called: as its file, without the extension.
    pub fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or(self.path.as_os_str());
        stem.to_string_lossy().into_owned()
    }

    /// The executor of a scenario that starts with so many VUs. The shape's
    /// targets then replace what it says.
    pub fn closed(&self, vus: u32, duration: Duration) -> Executor {
        Executor::RampingVus {
            start_vus: vus,
            stages: vec![Stage {
                duration,
                target: vus,
            }],
            graceful_ramp_down: self.graceful_ramp_down,
        }
    }

    /// The executor of a scenario that starts with so many iterations a second.
    pub fn open(&self, per_s: f64, duration: Duration) -> Executor {
        Executor::ConstantArrivalRate {
            rate: Rate::per_second(per_s),
            duration,
            arrivals: self.arrivals,
        }
    }
}
