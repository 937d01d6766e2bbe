//! The port of recorders: what a recorder is, and the queue in front of it.
