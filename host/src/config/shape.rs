//! A shape in place of a load: `--shape`, and what goes with it.
//!
//! A run has one shape at the most, and it has one scenario: what a target is of
//! several would be a question of its own.

use std::num::NonZeroU32;
use std::time::Duration;

use super::load::{Load, OPEN_VUS, timing};
use super::options::Key;
use super::resolve::{Reader, Surroundings};
use super::values;
use crate::plan::{ENDLESS, ShapeSpec};

/// What says how much load there is, as a shape does.
const CLASHES: [Key; 5] = [
    Key::Vus,
    Key::Iterations,
    Key::Rate,
    Key::Stage,
    Key::Executor,
];

/// The shape of a scenario, if it has one.
pub(super) fn shape(read: &mut Reader<'_>) -> Option<ShapeSpec> {
    let (path, options) = read.one(Key::Shape, values::shape)?;
    Some(ShapeSpec {
        path,
        options,
        arrivals: read
            .one(Key::Arrivals, values::arrivals)
            .unwrap_or_default(),
        graceful_ramp_down: read
            .one(Key::GracefulRampDown, values::duration)
            .unwrap_or(Duration::from_secs(30)),
    })
}

/// The load of a scenario that has a shape, until that has been asked: no VU at
/// all. Nothing if the shape cannot be read.
pub(super) fn load(read: &mut Reader<'_>, around: &Surroundings) -> Option<Load> {
    for key in CLASHES {
        // What the script says for want of anything better counts for nothing.
        if read.said_by_user(key) {
            read.clash(
                key,
                "the shape says how much load there is",
                "leave it out, or leave out `--shape`; `--max-vus` and `--duration` are its limits",
            );
        }
    }
    let shape = shape(read);
    let duration = read.one(Key::Duration, values::duration_above_zero);
    let max_vus = read.one(Key::MaxVus, values::vus);
    let room = NonZeroU32::new(around.vus_room.min(OPEN_VUS)).unwrap_or(NonZeroU32::MIN);
    Some(Load {
        executor: shape?.closed(0, duration.unwrap_or(ENDLESS)),
        max_vus: max_vus.unwrap_or(room),
        timing: timing(read),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{File, Options, Place, Resolved, Said, resolve_all};
    use super::*;
    use crate::error::Error;
    use crate::plan::{Arrivals, ScriptSource};

    fn said(file: &str, flags: &[(Key, &str)], variables: &[(Key, &str)]) -> Said {
        let layer = |place: Place, values: &[(Key, &str)]| {
            let mut options = Options::default();
            for (key, text) in values {
                options.say(*key, *text, place.clone());
            }
            options
        };
        Said {
            user: layer(Place::Flag, flags).over(layer(Place::Variable, variables)),
            script: Some(ScriptSource::File("shop.wasm".into())),
            file: File::parse(file, Path::new("load.toml")),
            ..Said::default()
        }
    }

    fn resolve(said: &Said) -> Result<Resolved, Vec<String>> {
        let around = Surroundings {
            stdout_is_terminal: false,
            cores: 4,
            vus_room: 9_000,
            cache_home: None,
            has_keys: true,
        };
        match resolve_all(said, &around) {
            Ok(resolved) => Ok(resolved),
            Err(Error::Config(mistakes)) => Err(mistakes.iter().map(ToString::to_string).collect()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_shape_comes_with_its_options_and_limits() {
        let plan = resolve(&said("", &[(Key::Shape, "a/wave.wasm, peak=80 ,x=")], &[]));
        let plan = plan.expect("a valid plan").plan;
        let shape = plan.shape.expect("there is one");
        assert_eq!(shape.name(), "wave");
        let options = [("peak", "80"), ("x", "")];
        assert_eq!(
            shape.options,
            options.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let scenario = &plan.scenarios[0];
        assert_eq!(scenario.max_vus.get(), 9_000);
        assert_eq!(scenario.executor.duration(), ENDLESS);
        let flags = [
            (Key::Shape, "wave.wasm"),
            (Key::MaxVus, "7"),
            (Key::Duration, "1m"),
        ];
        let plan = resolve(&said("", &flags, &[])).expect("a valid plan").plan;
        assert_eq!(plan.scenarios[0].max_vus.get(), 7);
        assert_eq!(plan.scenarios[0].executor.duration().as_secs(), 60);
    }

    #[test]
    fn a_stronger_layer_puts_a_shape_in_place_of_a_load_and_the_reverse() {
        let shape = [(Key::Shape, "wave.wasm")];
        let vus = [(Key::Vus, "5"), (Key::Duration, "1m")];
        let load = [(Key::Rate, "9/s"), (Key::Duration, "1m")];
        for weaker in [vus, load] {
            let plan = resolve(&said("", &shape, &weaker))
                .expect("a valid plan")
                .plan;
            assert!(plan.shape.is_some());
            assert_eq!(plan.scenarios[0].executor.duration(), ENDLESS);
        }
        let file = "shape = \"wave.wasm\"";
        let plan = resolve(&said(file, &load, &[])).expect("a valid plan").plan;
        assert_eq!(plan.shape, None);
        // A duration alone is a limit.
        let plan = resolve(&said(file, &[(Key::Duration, "1m")], &[])).expect("a valid plan");
        assert!(plan.plan.shape.is_some());
    }

    #[test]
    fn a_file_has_one_shape_for_its_only_scenario() {
        let one = "shape = \"wave.wasm\"\n[scenarios.a]\narrivals = \"poisson\"\n\
                   graceful-ramp-down = \"3s\"";
        let plan = resolve(&said(one, &[], &[])).expect("a valid plan").plan;
        let shape = plan.shape.expect("there is one");
        assert_eq!(shape.arrivals, Arrivals::Poisson);
        assert_eq!(shape.graceful_ramp_down.as_secs(), 3);
        for (file, words) in [
            (
                "shape = \"wave.wasm\"\n[scenarios.a]\n[scenarios.b]",
                "a shape has one scenario, and there are 2",
            ),
            (
                "[scenarios.a]\nshape = \"wave.wasm\"",
                "`shape` holds for the whole run, not for one scenario",
            ),
            ("shape = \"peak=80\"", "the path of a component"),
            ("shape = \"wave.wasm,peak\"", "`KEY=VALUE` after the path"),
            (
                "shape = \"wave.wasm\"\nvus = 3",
                "the shape says how much load there is",
            ),
        ] {
            let mistakes = resolve(&said(file, &[], &[])).map(|_| ()).expect_err(file);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(words), "{mistakes:?}");
        }
    }
}
