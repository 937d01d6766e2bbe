//! What people read: the live line and the summary.
