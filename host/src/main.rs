//! The program `squall`: hands over to the library.

fn main() {}
