//! Errors: what the user or the world did, each with its exit code.
//!
//! A guest's failure is never an error of ours: it is counted and reported. A
//! defect of ours is a panic, with exit code 1.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the program ends. The numbers are k6's where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The run passed.
    Passed = 0,
    /// A defect of ours.
    Defect = 1,
    /// The command line could not be read.
    Usage = 2,
    /// A threshold failed, or a recorder failed its test.
    ThresholdFailed = 99,
    /// The configuration or a component is invalid.
    Invalid = 104,
    /// The user interrupted the run.
    Interrupted = 105,
    /// The script failed before the run could start.
    ScriptFailed = 107,
    /// The script ended the run.
    Aborted = 108,
    /// The result is incomplete.
    Incomplete = 110,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// What the user or the world did so that the program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has mistakes: all of them.
    #[error("{}", Listed("the configuration", .0))]
    Config(Vec<Problem>),
    /// A component cannot be run.
    #[error(transparent)]
    Component(Problem),
    /// The machine cannot do what the plan asks for.
    #[error(transparent)]
    Machine(Problem),
    /// The script's `setup` failed, or no VU could start.
    #[error(transparent)]
    Script(Problem),
    /// A run that is going on cannot be reached, or refuses.
    #[error(transparent)]
    Control(Problem),
    /// A worker was lost before the run could start.
    #[error(transparent)]
    Lost(Problem),
    /// The user ended it before the run could start.
    #[error(transparent)]
    Interrupted(Problem),
    /// Master and workers cannot reach or understand each other.
    #[error(transparent)]
    Cluster(Problem),
    /// A file cannot be written or read.
    #[error(transparent)]
    File(Problem),
}

impl Error {
    /// How the program ends.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Component(_)
            | Self::Machine(_)
            | Self::Control(_)
            | Self::Cluster(_)
            | Self::File(_) => ExitCode::Invalid,
            Self::Lost(_) => ExitCode::Incomplete,
            Self::Interrupted(_) => ExitCode::Interrupted,
            Self::Script(_) => ExitCode::ScriptFailed,
        }
    }
}

/// One mistake: what is wrong, and if there is a way out, which.
///
/// Printed, the hint stands on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong: lowercase, without a period, things in backticks.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Several problems, a line each below a head line; a single one by itself.
struct Listed<'a>(&'static str, &'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.1 {
            return only.fmt(f);
        }
        write!(f, "{} has {} mistakes", self.0, self.1.len())?;
        for problem in self.1 {
            // What has several lines shows a text and the place in it.
            write!(f, "\n  - {}", problem.what.replace('\n', "\n    "))?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n    hint: {hint}")?;
            }
        }
        Ok(())
    }
}
