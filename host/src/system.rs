//! What this process and its machine use.
