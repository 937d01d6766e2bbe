//! Engines: how guests are compiled and what bounds them.
