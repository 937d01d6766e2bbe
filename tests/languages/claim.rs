//! A claim, and for each language whether it holds.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::language::Language;

/// Something that is so in every language.
pub(crate) struct Claim {
    /// The test that makes it.
    pub(crate) test: &'static str,
    /// How the table calls it.
    pub(crate) name: &'static str,
    /// Panics if it does not hold.
    pub(crate) check: fn(Language),
    /// What came of it, looked at once, whoever asks: the test or the table.
    pub(crate) found: [OnceLock<Result<(), String>>; Language::ALL.len()],
}

impl Claim {
    /// Why it does not hold in a language, if so.
    pub(crate) fn failure(&self, language: Language) -> Option<String> {
        let found = self.found[language as usize].get_or_init(|| {
            catch_unwind(AssertUnwindSafe(|| (self.check)(language)))
                .map_err(|panic| message(panic.as_ref()))
        });
        found.as_ref().err().cloned()
    }

    /// Fails with all languages in which it does not hold.
    #[track_caller]
    pub(crate) fn holds_in_every_language(&self) {
        let failures: Vec<String> = Language::ALL
            .into_iter()
            .filter_map(|language| {
                let why = self.failure(language)?;
                Some(format!("\n=== {language}: {why}"))
            })
            .collect();
        assert!(
            failures.is_empty(),
            "it does not hold in {} of {} languages:{}",
            failures.len(),
            Language::ALL.len(),
            failures.concat(),
        );
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// Declares claims, each with its test, in the order in which the table has them.
macro_rules! claims {
    ($($test:ident: $name:literal, $check:expr;)*) => {
        /// All claims.
        pub(crate) static CLAIMS: [$crate::claim::Claim; [$($name),*].len()] =
            [$($crate::claim::Claim {
            test: stringify!($test),
            name: $name,
            check: $check,
            found: [const { std::sync::OnceLock::new() }; $crate::language::Language::ALL.len()],
        }),*];

        $(
            #[test]
            fn $test() {
                let claim = CLAIMS.iter().find(|claim| claim.test == stringify!($test));
                claim.expect("it is declared here").holds_in_every_language();
            }
        )*
    };
}

pub(crate) use claims;
