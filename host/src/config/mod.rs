//! From what the user said to a valid plan.
