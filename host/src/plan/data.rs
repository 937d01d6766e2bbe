//! Test data: the files whose rows scripts are given.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A data source as the user asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSpec {
    /// The name by which scripts open it, unique in the plan.
    pub name: String,
    /// Where its rows are.
    pub path: PathBuf,
    /// How they are written.
    pub format: DataFormat,
    /// In which order they are dealt out.
    pub order: DataOrder,
    /// What happens when they are used up. Never [`AtEnd::Wrap`] for unique
    /// rows, and always for random ones.
    pub at_end: AtEnd,
    /// The names of a CSV file's columns, if its first row does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Vec<String>>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// RFC 4180, the columns' names first.
    Csv,
    /// One array of objects.
    Json,
    /// An object a line.
    Ndjson,
}

/// In which order rows are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataOrder {
    /// One after the other, whichever VU of the node asks.
    Sequential,
    /// Any of them, each as likely as any other.
    Random,
    /// One after the other, each to one VU in the whole run.
    Unique,
}

/// What happens when the rows are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtEnd {
    /// They begin anew.
    Wrap,
    /// The VU that asked ends.
    StopVu,
    /// The run ends.
    EndRun,
}
