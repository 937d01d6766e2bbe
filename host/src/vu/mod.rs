//! The port of virtual users: what an executor runs.
