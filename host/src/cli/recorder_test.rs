//! `squall recorder test`: recorded runs fed to a recorder, its log entries on
//! stdout, and on stderr what is to be said of them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use super::args::TestArgs;
use super::console::Console;
use super::{logging, run};
use crate::assemble;
use crate::config::{Key, Options, Place, resolve};
use crate::error::{Error, ExitCode, Problem};
use crate::plan::{RecorderSpec, ScriptSource, SinkSpec};
use crate::recorder::recording::{Batching, RUNS, Recording};
use crate::recorder::replay::{Replay, replay};
use crate::recorder::review::{Finding, Review, Severity};
use crate::sink::{self, Sink};
use crate::units::Bytes;
use crate::wasm::cache::CompileCache;
use crate::wasm::recorder::WasmRecorder;

/// The largest file of events that is read, in bytes: all of it is held in
/// memory.
const LARGEST: u64 = 1 << 30;

/// Tests a recorder.
///
/// # Errors
///
/// If the recorder cannot be loaded or started, a file holds no recorded run,
/// or stdout takes nothing.
pub(super) fn test(args: TestArgs, console: &Console) -> Result<ExitCode, Error> {
    let Setup { spec, cache } = setup(&args.recorder, console)?;
    let recordings = recordings(&args.events)?;
    let began = Instant::now();
    let (name, mut recorder) = assemble::recorder(&spec.source, &cache, &assemble::ticker()?)?;
    let loading = began.elapsed();

    let mut review = Review::default();
    let mut rows = Vec::new();
    let mut out = Out::open(console)?;
    for recording in &recordings {
        recorder.reset();
        let played = replay(&mut recorder, recording, &spec.options, Batching::AsInARun);
        if let (true, Some((_, error)), true) =
            (played.never_started(), &played.failure, rows.is_empty())
        {
            return Err(Error::Component(Problem::new(format!(
                "the recorder `{name}` cannot be used: {error}"
            ))));
        }
        let mut row = Row::of(recording, &played, &recorder);
        review.take(&recording.name, &played, |line| {
            row.longest = row.longest.max(line.len());
            out.write(line);
        });
        rows.push(row);
    }
    out.sink.finish();
    out.result?;
    if !review.is_clean() {
        review.sharpen(&one_by_one(&mut recorder, &recordings, &spec));
    }
    let findings = review.findings();
    let mut loaded = format!("{name} was loaded in {}\n", time(loading));
    if spec.sink.is_some() || spec.interval.is_some() {
        loaded += "its sink and its interval are for runs: they change nothing here\n";
    }
    loaded.push('\n');
    console.write(&(loaded + &table(&rows) + &verdict(&findings, console)));
    let errors = count(&findings, Severity::Error);
    Ok(if rows.iter().any(|row| row.never_started) {
        ExitCode::Invalid
    } else if errors > 0 {
        ExitCode::ThresholdFailed
    } else {
        ExitCode::Passed
    })
}

/// What is to be tested, and with what.
struct Setup {
    spec: RecorderSpec,
    cache: CompileCache,
}

/// Reads the recorder as `--recorder` would, and of the environment what
/// concerns this program.
fn setup(recorder: &str, console: &Console) -> Result<Setup, Error> {
    let mut said = Options::from_environment(std::env::vars_os());
    for key in Key::all().filter(|key| !matches!(key, Key::CacheDir | Key::Log)) {
        said.forget(key);
    }
    said.say(Key::Recorder, recorder, Place::Argument);
    let resolved = resolve(ScriptSource::Demo, &said, &run::surroundings(console))?;
    logging::start(&resolved.settings.log, console);
    let [spec] = <[RecorderSpec; 1]>::try_from(resolved.plan.recorders).map_err(|several| {
        Error::Config(vec![
            Problem::new(format!(
                "the recorder: expected one recorder, found {} in `{recorder}`",
                several.len()
            ))
            .hint("its options follow it: `./mine.wasm,key=value`"),
        ])
    })?;
    Ok(Setup {
        spec,
        cache: run::compile_cache(resolved.settings.cache_dir, false, console),
    })
}

/// The runs to feed: those on file, or else those of the program.
fn recordings(files: &[PathBuf]) -> Result<Vec<Recording>, Error> {
    if files.is_empty() {
        let embedded = RUNS.iter().map(|(name, text)| Recording::parse(name, text));
        return embedded.collect::<Result<_, _>>().map_err(Error::File);
    }
    let mut recordings = Vec::new();
    let mut problems = Vec::new();
    for path in files {
        let text = read(path, LARGEST);
        match text.and_then(|text| Recording::parse(&path.display().to_string(), &text)) {
            Ok(recording) => recordings.push(recording),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(recordings)
    } else {
        Err(Error::Config(problems))
    }
}

/// Reads a recorded run of at most `limit` bytes, whatever the file says of its
/// own size: a device has none, and no end.
fn read(path: &Path, limit: u64) -> Result<String, Problem> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        if length <= limit {
            file.take(limit + 1).read_to_string(&mut text)?;
        }
        Ok(length.max(text.len() as u64))
    });
    match read {
        Ok(length) if length > limit => Err(Problem::new(format!(
            "`{shown}` has more than {}, the most that a recorded run may have",
            Bytes(limit)
        ))
        .hint("record a shorter run: `squall run SCRIPT --duration 1m --events FILE`")),
        Ok(_) => Ok(text),
        Err(error) => Err(Problem::new(format!("cannot read `{shown}`: {error}"))
            .hint("`squall run SCRIPT --events FILE` records a run")),
    }
}

/// All runs again, each event in a call of its own: to tell which it is that a
/// finding is about.
fn one_by_one(
    recorder: &mut WasmRecorder,
    recordings: &[Recording],
    spec: &RecorderSpec,
) -> Review {
    let mut review = Review::default();
    for recording in recordings {
        recorder.reset();
        let played = replay(recorder, recording, &spec.options, Batching::OneByOne);
        review.take(&recording.name, &played, |_| {});
    }
    review
}

/// stdout, for log entries alone.
struct Out {
    sink: Box<dyn Sink>,
    open: bool,
    result: Result<(), Error>,
}

impl Out {
    fn open(console: &Console) -> Result<Self, Error> {
        let streams = console.streams().map_err(|error| {
            Error::Machine(Problem::new(format!("stdout cannot be used: {error}")))
        })?;
        let mut sinks = sink::open([Some(SinkSpec::Stdout)], streams)?;
        Ok(Self {
            sink: sinks.remove(0),
            open: true,
            result: Ok(()),
        })
    }

    fn write(&mut self, line: &str) {
        if !self.open {
            return;
        }
        if let Err(error) = self.sink.write_line(line) {
            self.open = false;
            // Whoever closes the pipe has read enough.
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.result = Err(Error::File(Problem::new(format!(
                    "cannot write log entries to stdout: {error}"
                ))));
            }
        }
    }
}

/// What there is to say of one run.
struct Row {
    name: String,
    events: u64,
    calls: u64,
    entries: usize,
    longest: usize,
    memory: u64,
    startup: Duration,
    busy: Duration,
    never_started: bool,
}

impl Row {
    fn of(recording: &Recording, played: &Replay, recorder: &WasmRecorder) -> Self {
        Self {
            name: recording.name.clone(),
            events: played.events,
            calls: played.calls,
            entries: played.entries.len(),
            longest: 0,
            memory: recorder.memory_peak(),
            startup: played.startup,
            busy: played.busy,
            never_started: played.never_started(),
        }
    }

    fn cells(&self) -> [String; 9] {
        let each = |count: u64| match count {
            0 => "-".to_owned(),
            count => format!("{:.1}", self.busy.as_secs_f64() * 1e6 / count as f64),
        };
        [
            self.name.clone(),
            self.events.to_string(),
            self.calls.to_string(),
            self.entries.to_string(),
            Bytes(self.longest as u64).to_string(),
            Bytes(self.memory).to_string(),
            time(self.startup),
            each(self.calls),
            each(self.events),
        ]
    }
}

/// The runs, a line each.
fn table(rows: &[Row]) -> String {
    let titles = [
        "run", "events", "calls", "entries", "longest", "memory", "start-up", "us/call", "us/event",
    ];
    let mut cells = vec![titles.map(str::to_owned)];
    cells.extend(rows.iter().map(Row::cells));
    let widths: Vec<usize> = (0..titles.len())
        .map(|column| cells.iter().map(|row| row[column].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in cells {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        text += &line;
        text.push('\n');
    }
    text
}

fn time(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity() == severity)
        .count()
}

/// All findings, and what they come to.
fn verdict(findings: &[Finding], console: &Console) -> String {
    let style = |color: AnsiColor| match console.is_coloured() {
        true => color.on_default().bold(),
        false => Style::new(),
    };
    let (bad, doubtful, good) = (
        style(AnsiColor::Red),
        style(AnsiColor::Yellow),
        style(AnsiColor::Green),
    );
    let mut text = String::from("\n");
    for finding in findings {
        let (style, word) = match finding.severity() {
            Severity::Error => (bad, "error"),
            Severity::Warning => (doubtful, "warning"),
        };
        text += &format!("{style}{word}:{style:#} {finding}\n");
    }
    let number = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let errors = count(findings, Severity::Error);
    let warnings = number(count(findings, Severity::Warning), "warning");
    text += &match errors {
        0 => format!("{good}good:{good:#} every entry arrives, {warnings}\n"),
        errors => format!("{bad}bad:{bad:#} {}, {warnings}\n", number(errors, "error")),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_events_is_read_up_to_a_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events");
        std::fs::write(&path, "x".repeat(100)).expect("written");
        assert_eq!(read(&path, 100).map(|text| text.len()), Ok(100));
        for (path, limit) in [(&*path, 99), (Path::new("/dev/zero"), 1 << 20)] {
            let problem = read(path, limit).expect_err("too large");
            assert!(problem.what.contains("has more than"), "{problem}");
            assert!(problem.what.contains(&*path.to_string_lossy()), "{problem}");
            assert!(problem.hint.is_some());
        }
        let problem = read(&folder.path().join("none"), 1).expect_err("it is not there");
        assert!(problem.what.starts_with("cannot read"), "{problem}");
    }
}
