//! Who records, and where to: `--recorder`, in all its parts.
//!
//! A spec is `NAME[,KEY=VALUE…]`. The keys in [`HOST_KEYS`] are the host's own
//! and mean the same for every recorder; all others are the recorder's options.

use std::path::{Path, PathBuf};

use super::options::{Given, Key};
use super::resolve::{Reader, Telemetry};
use super::values::{self, Parsed, RecorderPart};
use crate::plan::{FileSpec, RecorderSource, RecorderSpec, Rotation, ScriptSource, SinkSpec};

/// What the host takes for itself from a recorder's spec; [`Draft::finish`] says
/// what each becomes.
const HOST_KEYS: [&str; 5] = ["sink", "rotate-size", "rotate-every", "keep", "interval"];

/// The recorders, and where log entries go unless their recorder says
/// otherwise. Recorders that nobody asked for are left out if nobody would read
/// them.
pub(super) fn recorders(
    read: &mut Reader<'_>,
    telemetry: Telemetry,
    summary: Option<&Path>,
    scripts: &[ScriptSource],
) -> (Telemetry, Vec<RecorderSpec>) {
    let given = read.given(Key::Recorder);
    let Some(recorders) = (if given {
        named(read)
    } else {
        Some(match telemetry {
            Telemetry::Nowhere => Vec::new(),
            _ => vec![RecorderSpec {
                source: RecorderSource::Json,
                sink: None,
                options: Vec::new(),
                interval: None,
            }],
        })
    }) else {
        return (Telemetry::Nowhere, Vec::new());
    };
    let files = Files {
        telemetry: &telemetry,
        summary,
        scripts,
        recorders: &recorders,
    };
    files.check(read);
    (telemetry, recorders)
}

/// What is hardly meant: options of recorders that are written much like a key
/// of the host's. A sentence each.
pub(super) fn doubts(recorders: &[RecorderSpec]) -> Vec<String> {
    let options = recorders.iter().flat_map(|recorder| &recorder.options);
    options
        .filter_map(|(name, _)| {
            let key = HOST_KEYS.into_iter().find(|key| is_like(name, key))?;
            Some(format!(
                "`--recorder`: `{name}` is handed to the recorder as an option of its own; \
                 `{key}` would say something to the host"
            ))
        })
        .collect()
}

/// Whether a word may well be a misspelt `key`.
fn is_like(word: &str, key: &str) -> bool {
    let slips = if key.len() < 8 { 1 } else { 2 };
    strsim::osa_distance(&word.to_lowercase().replace('_', "-"), key) <= slips
}

/// The recorders that were asked for; `None` if none are to be.
fn named(read: &mut Reader<'_>) -> Option<Vec<RecorderSpec>> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut nobody = false;
    for given in read.options.all(Key::Recorder).to_vec() {
        for part in given.text.split(',').map(str::trim) {
            let part = Given {
                text: part.to_owned(),
                place: given.place.clone(),
            };
            match read.parse(Key::Recorder, &part, values::recorder_part) {
                Some(RecorderPart::Named(spec)) => drafts.push(Draft {
                    spec,
                    host: Vec::new(),
                }),
                Some(RecorderPart::Nobody) => nobody = true,
                Some(RecorderPart::Option(name, value)) => match drafts.last_mut() {
                    Some(draft) => draft.option(read, name, value, part),
                    None => read.clash(
                        Key::Recorder,
                        &format!("the option `{name}` stands before any recorder"),
                        "write the recorder first, such as `json,NAME=VALUE`",
                    ),
                },
                None => {}
            }
        }
    }
    if nobody && !drafts.is_empty() {
        read.clash(
            Key::Recorder,
            "`none` does not go with other recorders",
            "leave out `none`, or the others",
        );
    }
    let recorders = drafts.into_iter().map(|draft| draft.finish(read)).collect();
    (!nobody).then_some(recorders)
}

/// A recorder while its spec is read.
struct Draft {
    spec: RecorderSpec,
    /// What the host keeps for itself, each as it was written.
    host: Vec<(&'static str, Given)>,
}

impl Draft {
    fn option(&mut self, read: &mut Reader<'_>, name: String, value: String, part: Given) {
        let Some(key) = HOST_KEYS.into_iter().find(|key| *key == name) else {
            self.spec.options.push((name, value));
            return;
        };
        if self.given(key).is_some() {
            read.clash(
                Key::Recorder,
                &format!("`{key}` is given twice for one recorder"),
                "leave out one of them, or name the recorder twice",
            );
            return;
        }
        self.host.push((key, part));
    }

    fn given(&self, key: &str) -> Option<&Given> {
        let mut host = self.host.iter();
        host.find(|(name, _)| *name == key).map(|(_, given)| given)
    }

    /// The value of one of the host's keys.
    fn one<T>(
        &self,
        read: &mut Reader<'_>,
        key: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        read.parse(Key::Recorder, self.given(key)?, |part| {
            parse(part.split_once('=').map_or("", |(_, value)| value))
        })
    }

    fn finish(mut self, read: &mut Reader<'_>) -> RecorderSpec {
        self.spec.interval = self.one(read, "interval", values::interval);
        let sink = self.one(read, "sink", values::sink);
        let rotation = self.rotation(read);
        self.spec.sink = match (sink, rotation) {
            (Some(SinkSpec::File(FileSpec { path, .. })), rotation) => {
                Some(SinkSpec::File(FileSpec { path, rotation }))
            }
            (sink, None) => sink,
            (sink, Some(_)) => {
                // A sink that could not be read is a mistake by itself.
                if sink.is_some() || self.given("sink").is_none() {
                    let found = sink.as_ref().map_or_else(
                        || "without a sink of its own".to_owned(),
                        |sink| format!("with `sink={sink}`"),
                    );
                    read.clash(
                        Key::Recorder,
                        &format!("only a file is rotated, and a recorder {found} has none"),
                        "add `sink=file:PATH`, or leave out `rotate-size`, `rotate-every` and `keep`",
                    );
                }
                sink
            }
        };
        self.spec
    }

    /// When a file makes room for the next; `Some` also if that is not said
    /// well.
    fn rotation(&self, read: &mut Reader<'_>) -> Option<Rotation> {
        let when = ["rotate-size", "rotate-every"];
        let rotates = when.iter().any(|key| self.given(key).is_some());
        let rotation = Rotation {
            size: self.one(read, "rotate-size", values::rotate_size),
            every: self.one(read, "rotate-every", values::rotate_every),
            keep: self.one(read, "keep", values::keep),
        };
        if self.given("keep").is_some() && !rotates {
            read.clash(
                Key::Recorder,
                "`keep` says how many rotated files stay, and nothing is rotated",
                "add `rotate-size`, such as `rotate-size=64MiB`, or `rotate-every`",
            );
        }
        rotates.then_some(rotation)
    }
}

/// All that a run writes to and reads from by a path.
struct Files<'a> {
    telemetry: &'a Telemetry,
    summary: Option<&'a Path>,
    scripts: &'a [ScriptSource],
    recorders: &'a [RecorderSpec],
}

impl Files<'_> {
    /// Notes every file that would be two things at once.
    fn check(&self, read: &mut Reader<'_>) {
        let telemetry = match self.telemetry {
            Telemetry::File(path) => Some(path),
            Telemetry::Stdout | Telemetry::Nowhere => None,
        };
        if let Some(path) = telemetry {
            self.check_one(read, Key::Telemetry, path);
        }
        let mut known: Vec<&FileSpec> = Vec::new();
        for recorder in self.recorders {
            let Some(SinkSpec::File(file)) = &recorder.sink else {
                continue;
            };
            let path = file.path.display();
            if let Some(other) = known.iter().find(|other| same(&other.path, &file.path)) {
                if other.rotation != file.rotation {
                    read.clash(
                        Key::Recorder,
                        &format!("two recorders write to `{path}`, and it is rotated differently"),
                        "give both the same `rotate-size`, `rotate-every` and `keep`, or a file each",
                    );
                }
                continue;
            }
            known.push(file);
            if file.rotation.is_some() && telemetry.is_some_and(|other| same(other, &file.path)) {
                read.clash(
                    Key::Recorder,
                    &format!("`{path}` is rotated, and is the file of `--telemetry` too"),
                    "give the recorder another file, or leave out `--telemetry`",
                );
            }
            self.check_one(read, Key::Recorder, &file.path);
        }
    }

    fn check_one(&self, read: &mut Reader<'_>, key: Key, path: &Path) {
        let shown = path.display();
        if self.summary.is_some_and(|summary| same(summary, path)) {
            read.clash(
                key,
                &format!("`{shown}` is the file of `--summary` too"),
                "name another file for one of them",
            );
        }
        let scripts = self.scripts.iter().filter_map(|script| match script {
            ScriptSource::File(script) => Some(script),
            ScriptSource::Demo => None,
        });
        let recorders = self.recorders.iter().filter_map(|it| match &it.source {
            RecorderSource::File(path) => Some(path),
            RecorderSource::Json | RecorderSource::Locust => None,
        });
        let mut components = scripts.chain(recorders);
        if components.any(|component| same(component, path)) {
            read.clash(
                key,
                &format!("`{shown}` is a component of this run, and would be overwritten"),
                "name another file",
            );
        }
    }
}

/// Whether two paths are the same as written, but for a leading `./`. Whether
/// they lead to the same file is seen when they are opened.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| -> PathBuf {
        let parts = path.components();
        parts
            .filter(|part| *part != std::path::Component::CurDir)
            .collect()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};
    use std::time::Duration;

    use super::super::{Options, Place, Resolved, Surroundings, resolve};
    use super::*;
    use crate::error::Error;

    fn around() -> Surroundings {
        Surroundings {
            vus_room: 10_000,
            stdout_is_terminal: false,
            has_keys: false,
            cores: 4,
            cache_home: None,
        }
    }

    fn flags(values: &[(Key, &str)]) -> Options {
        let mut options = Options::default();
        for (key, text) in values {
            options.say(*key, *text, Place::Flag);
        }
        options
    }

    fn script() -> ScriptSource {
        ScriptSource::File("a/shop.wasm".into())
    }

    fn resolved(values: &[(Key, &str)]) -> Resolved {
        resolve(script(), &flags(values), &around()).expect("valid")
    }

    fn sink(spec: &str) -> Option<SinkSpec> {
        resolved(&[(Key::Recorder, spec)]).plan.recorders[0]
            .sink
            .clone()
    }

    fn refused(values: &[(Key, &str)]) -> Vec<String> {
        match resolve(script(), &flags(values), &around()) {
            Err(Error::Config(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_recorder_has_its_sink_and_its_options() {
        let recorders = resolved(&[
            (Key::Recorder, "json"),
            (Key::Recorder, "json,sink=tcp:logs.example:9000,profile=ecs"),
            (Key::Recorder, "./a.wasm,level=2,sink=unix:/run/a=b.sock"),
        ])
        .plan
        .recorders;
        assert_eq!(recorders[0].sink, None);
        let tcp = SinkSpec::Tcp {
            host: "logs.example".to_owned(),
            port: 9000,
        };
        assert_eq!(recorders[1].sink, Some(tcp));
        assert_eq!(recorders[1].options, [("profile".into(), "ecs".into())]);
        assert_eq!(
            recorders[2].sink,
            Some(SinkSpec::Unix("/run/a=b.sock".into()))
        );
        assert_eq!(recorders[2].options, [("level".into(), "2".into())]);
    }

    #[test]
    fn sinks_read_as_they_are_written() {
        for text in [
            "stdout",
            "stderr",
            "file:out/a.ndjson",
            "unix:/run/a.sock",
            "tcp:10.0.0.1:9000",
            "tcp:[::1]:9000",
        ] {
            let sink = sink(&format!("json,sink={text}")).expect("given");
            assert_eq!(sink.to_string(), text);
        }
    }

    #[test]
    fn a_file_is_rotated_as_its_spec_says() {
        let Some(SinkSpec::File(file)) =
            sink("json,keep=3,rotate-size=64KiB,sink=file:a,rotate-every=1h")
        else {
            panic!("a file is given");
        };
        let rotation = Rotation {
            size: NonZeroU64::new(64 << 10),
            every: Some(Duration::from_secs(3600)),
            keep: NonZeroU32::new(3),
        };
        assert_eq!(file.rotation, Some(rotation));
    }

    #[test]
    fn every_mistake_in_a_sink_has_a_hint() {
        const SINKS: &str =
            "`stdout`, `stderr`, `file:PATH`, `unix:PATH` or `tcp:HOST:PORT` as the sink";
        for (sink, expected, hint) in [
            ("flie:a.ndjson", SINKS, "did you mean `file:a.ndjson`?"),
            ("FILE:a.ndjson", SINKS, "did you mean `file:a.ndjson`?"),
            ("a.ndjson", SINKS, "did you mean `file:a.ndjson`?"),
            ("stdot", SINKS, "did you mean `stdout`?"),
            ("-", SINKS, "did you mean `stdout`?"),
            ("file:-", SINKS, "did you mean `stdout`?"),
            ("unix", SINKS, "add the path: `unix:PATH`"),
            ("kafka:a", SINKS, "such as `sink=file:telemetry.ndjson`"),
            ("", SINKS, "such as `sink=file:telemetry.ndjson`"),
            (
                "file:",
                "a path after `file:`",
                "such as `sink=file:/var/run/telemetry`",
            ),
            (
                "tcp:logs",
                "a port in `tcp:HOST:PORT`",
                "such as `tcp:logs:9000`",
            ),
            (
                "tcp:logs:0",
                "a port from 1 to 65535 in `tcp:HOST:PORT`",
                "such as `tcp:logs:9000`",
            ),
            (
                "tcp::9000",
                "the name or address of a host in `tcp:HOST:PORT`",
                "such as `tcp:127.0.0.1:9000`",
            ),
            (
                "tcp://logs:9000",
                "no slashes in `tcp:HOST:PORT`",
                "did you mean `tcp:logs:9000`?",
            ),
            (
                "tcp:::1:9000",
                "brackets around an IPv6 address in `tcp:HOST:PORT`",
                "such as `tcp:[::1]:9000`",
            ),
        ] {
            assert_eq!(
                refused(&[(Key::Recorder, &format!("json,sink={sink}"))]),
                [format!(
                    "`--recorder`: expected {expected}, found `sink={sink}`\nhint: {hint}"
                )]
            );
        }
    }

    #[test]
    fn mistakes_of_all_recorders_come_at_once() {
        assert_eq!(
            refused(&[
                (Key::Recorder, "json,sink=file:a,rotate-size=0B,keep=0"),
                (Key::Recorder, "json,rotate-every=1h"),
                (Key::Recorder, "json,sink=stderr,rotate-every=1ms"),
                (Key::Recorder, "json,sink=file:b,keep=3,sink=stdout"),
            ]),
            [
                "`--recorder`: `sink` is given twice for one recorder\nhint: leave out one of them, or name the recorder twice",
                "`--recorder`: expected a size of at least `1KiB`, found `rotate-size=0B`\nhint: leave it out for a file that is not rotated by size",
                "`--recorder`: expected a whole number from 1, found `keep=0`\nhint: leave it out to keep every rotated file",
                "`--recorder`: only a file is rotated, and a recorder without a sink of its own has none\nhint: add `sink=file:PATH`, or leave out `rotate-size`, `rotate-every` and `keep`",
                "`--recorder`: expected a duration of at least `1s`, found `rotate-every=1ms`\nhint: such as `2s`, `1m30s` or `500ms`",
                "`--recorder`: only a file is rotated, and a recorder with `sink=stderr` has none\nhint: add `sink=file:PATH`, or leave out `rotate-size`, `rotate-every` and `keep`",
                "`--recorder`: `keep` says how many rotated files stay, and nothing is rotated\nhint: add `rotate-size`, such as `rotate-size=64MiB`, or `rotate-every`",
            ]
        );
    }

    #[test]
    fn an_option_that_is_much_like_a_key_of_the_hosts_is_doubted() {
        let spec = "./a.wasm,snik=file:x,rotate_size=1MiB,intervall=2s,Keep=1,rotate-evry=1h";
        let doubts = resolved(&[(Key::Recorder, spec)]).warnings;
        assert_eq!(doubts.len(), 5, "{doubts:?}");
        for (doubt, key) in doubts
            .iter()
            .zip(["sink", "rotate-size", "interval", "keep"])
        {
            assert!(doubt.contains(&format!("`{key}`")), "{doubt}");
        }
        let spec = "./a.wasm,sync=1,requests=all,level=1,key=1,keep-alive=1,size=2,sink=stderr";
        let doubts = resolved(&[(Key::Recorder, spec)]).warnings;
        assert!(doubts.is_empty(), "{doubts:?}");
    }

    #[test]
    fn a_file_is_one_thing_at_a_time() {
        let mistakes = refused(&[
            (Key::Telemetry, "t"),
            (Key::Summary, "./s"),
            (Key::Recorder, "json,sink=file:a,rotate-size=1KiB"),
            (Key::Recorder, "json,sink=file:./a,rotate-size=2KiB"),
            (Key::Recorder, "json,sink=file:s"),
            (Key::Recorder, "json,sink=file:./t,rotate-every=1h"),
            (Key::Recorder, "./b.wasm,sink=file:b.wasm"),
            (Key::Recorder, "json,sink=file:a/shop.wasm"),
        ]);
        let firsts: Vec<_> = mistakes
            .iter()
            .filter_map(|mistake| mistake.lines().next())
            .collect();
        assert_eq!(
            firsts,
            [
                "`--recorder`: two recorders write to `./a`, and it is rotated differently",
                "`--recorder`: `s` is the file of `--summary` too",
                "`--recorder`: `./t` is rotated, and is the file of `--telemetry` too",
                "`--recorder`: `b.wasm` is a component of this run, and would be overwritten",
                "`--recorder`: `a/shop.wasm` is a component of this run, and would be overwritten",
            ]
        );
        let both = refused(&[(Key::Telemetry, "x"), (Key::Summary, "x")]);
        assert_eq!(both.len(), 1, "{both:?}");
    }

    #[test]
    fn recorders_share_a_file_that_all_treat_alike() {
        let recorders = resolved(&[
            (Key::Telemetry, "t"),
            (Key::Recorder, "json,sink=file:a,rotate-size=1KiB"),
            (Key::Recorder, "json,rotate-size=1KiB,sink=file:a"),
            (Key::Recorder, "json,sink=file:t"),
        ])
        .plan
        .recorders;
        assert_eq!(recorders[0].sink, recorders[1].sink);
    }

    #[test]
    fn recorders_take_their_options_from_flags_and_from_a_list() {
        let file = RecorderSpec {
            source: RecorderSource::File("./a.wasm".into()),
            options: vec![("level".into(), "2".into()), ("to".into(), "x/y".into())],
            sink: None,
            interval: None,
        };
        let json = RecorderSpec {
            source: RecorderSource::Json,
            options: Vec::new(),
            sink: None,
            interval: None,
        };
        let locust = RecorderSpec {
            source: RecorderSource::Locust,
            options: Vec::new(),
            sink: None,
            interval: None,
        };
        let expected = [json, locust, file];
        let plan = resolved(&[
            (Key::Recorder, "json"),
            (Key::Recorder, "locust"),
            (Key::Recorder, "./a.wasm,level=2,to=x/y"),
        ])
        .plan;
        assert_eq!(plan.recorders, expected);
        let variable = (
            "SQUALL_RECORDERS".into(),
            "json,locust,./a.wasm,level=2,to=x/y".into(),
        );
        let options = Options::from_environment([variable]);
        let plan = resolve(ScriptSource::Demo, &options, &around())
            .expect("valid")
            .plan;
        assert_eq!(plan.recorders, expected);
    }

    #[test]
    fn a_recorder_may_have_a_stats_interval_of_its_own() {
        let plan = resolved(&[
            (Key::Recorder, "json,interval=10s,level=2"),
            (Key::Recorder, "./a.wasm"),
        ])
        .plan;
        assert_eq!(plan.recorders[0].interval, Some(Duration::from_secs(10)));
        assert_eq!(
            plan.recorders[0].options,
            [("level".to_owned(), "2".to_owned())]
        );
        assert_eq!(plan.recorders[1].interval, None);
        assert_eq!(
            refused(&[
                (Key::Recorder, "json,interval=10"),
                (Key::Recorder, "./a.wasm,interval=1ms"),
            ]),
            [
                "`--recorder`: expected a duration with its unit, found `interval=10`\nhint: did you mean `10s`?",
                "`--recorder`: expected a duration of at least `100ms`, found `interval=1ms`\nhint: such as `2s`, `1m30s` or `500ms`",
            ]
        );
    }

    #[test]
    fn nobody_records_if_nobody_reads() {
        let terminal = Surroundings {
            stdout_is_terminal: true,
            ..around()
        };
        let quiet = resolve(ScriptSource::Demo, &Options::default(), &terminal).expect("valid");
        assert_eq!(quiet.settings.telemetry, Telemetry::Nowhere);
        assert_eq!(quiet.plan.recorders, []);
        let asked = flags(&[(Key::Telemetry, "-")]);
        let asked = resolve(ScriptSource::Demo, &asked, &terminal).expect("valid");
        assert_eq!(asked.settings.telemetry, Telemetry::Stdout);
        assert_eq!(asked.plan.recorders.len(), 1);
        let none = resolved(&[(Key::Recorder, "none"), (Key::Telemetry, "f")]);
        assert_eq!(none.settings.telemetry, Telemetry::Nowhere);
        assert_eq!(none.plan.recorders, []);
    }
}
