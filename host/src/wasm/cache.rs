//! Compiled components, kept on disk.
