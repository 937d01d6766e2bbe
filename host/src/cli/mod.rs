//! The command line: the one place that owns the process and its streams.
