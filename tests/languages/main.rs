//! Scripts, recorders and projects in every language that has examples, held to
//! the same claims.
//!
//! Each claim is one test that looks at all languages, and tells of all in which
//! it does not hold. `ci/languages` builds the guests, and installs what it takes.

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "the tests of the command line use more of what is shared"
)]
mod support;

mod behaviours;
mod claim;
mod language;
mod projects;
mod recorder;
mod shop;
mod soak;
mod table;
mod together;
