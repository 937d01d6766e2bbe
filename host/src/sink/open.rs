//! From what the user asked for to sinks that can be written to.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::file::LogFile;
use super::place::{Share, Target};
use super::socket::Socket;
use super::{Discard, Lines, Sink};
use crate::error::{Error, Problem};
use crate::plan::{FileSpec, SinkSpec};

/// The process's streams. Neither should buffer.
pub struct Streams {
    /// Standard output.
    pub stdout: Box<dyn Write + Send>,
    /// Standard error.
    pub stderr: Box<dyn Write + Send>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// Opens a sink for each recorder; `None` is nowhere. Recorders whose sinks are
/// the same share one. Blocks for some seconds where nobody answers.
///
/// # Errors
///
/// If a file cannot be made or a socket cannot be connected: all of them.
pub fn open(
    specs: impl IntoIterator<Item = Option<SinkSpec>>,
    streams: Streams,
) -> Result<Vec<Box<dyn Sink>>, Error> {
    let mut opener = Opener {
        stdout: Some(streams.stdout),
        stderr: Some(streams.stderr),
        shares: Vec::new(),
    };
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for spec in specs {
        match spec.map(|spec| opener.open(spec)).transpose() {
            Ok(Some(share)) => sinks.push(Box::new(share)),
            Ok(None) => sinks.push(Box::new(Discard)),
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        let begun = opener.shares.iter().map(|(_, share)| share.begin());
        problems.extend(begun.filter_map(Result::err));
    }
    if problems.is_empty() {
        Ok(sinks)
    } else {
        Err(Error::Config(problems))
    }
}

struct Opener {
    stdout: Option<Box<dyn Write + Send>>,
    stderr: Option<Box<dyn Write + Send>>,
    /// What is open, with a share that is kept to make others from.
    shares: Vec<(SinkSpec, Share)>,
}

impl Opener {
    fn open(&mut self, spec: SinkSpec) -> Result<Share, Problem> {
        let open = self.shares.iter().find(|(open, _)| same(open, &spec));
        if let Some((open, share)) = open {
            if let (SinkSpec::File(open), SinkSpec::File(other)) = (open, &spec)
                && open.rotation != other.rotation
            {
                return Err(Problem::new(format!(
                    "`{}` and `{}` are one file, and it is rotated differently",
                    open.path.display(),
                    other.path.display()
                ))
                .hint(
                    "give both the same `rotate-size`, `rotate-every` and `keep`, or a file each",
                ));
            }
            return Ok(share.another());
        }
        let target: Box<dyn Target> = match &spec {
            SinkSpec::Stdout => stream(&mut self.stdout),
            SinkSpec::Stderr => stream(&mut self.stderr),
            SinkSpec::File(file) => Box::new(LogFile::open(file)?),
            SinkSpec::Unix(_) | SinkSpec::Tcp { .. } => Box::new(Socket::open(spec.clone())?),
        };
        let name = match &spec {
            SinkSpec::File(FileSpec { path, .. }) => path.display().to_string(),
            other => other.to_string(),
        };
        let share = Share::first(name, target);
        let another = share.another();
        self.shares.push((spec, share));
        Ok(another)
    }
}

fn stream(stream: &mut Option<Box<dyn Write + Send>>) -> Box<dyn Target> {
    Box::new(Lines::new(
        stream.take().expect("a stream is opened once and shared"),
    ))
}

/// Whether two sinks are one. `open` is open, so that its file is there.
fn same(open: &SinkSpec, other: &SinkSpec) -> bool {
    let real = |path: &Path| -> Option<PathBuf> { fs::canonicalize(path).ok() };
    match (open, other) {
        (SinkSpec::File(open), SinkSpec::File(other)) => {
            open.path == other.path
                || real(&open.path).is_some_and(|open| real(&other.path) == Some(open))
        }
        (open, other) => open == other,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::num::NonZeroU64;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::plan::Rotation;

    #[derive(Clone, Default)]
    struct Stream(Arc<Mutex<Vec<u8>>>);

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn streams() -> Streams {
        Streams {
            stdout: Box::new(Stream::default()),
            stderr: Box::new(Stream::default()),
        }
    }

    fn refused(specs: Vec<SinkSpec>) -> String {
        match open(specs.into_iter().map(Some), streams()) {
            Ok(_) => panic!("opened"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn recorders_share_a_stream_and_a_file_by_whichever_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        let stdout = Stream::default();
        let mut sinks = open(
            [
                Some(SinkSpec::Stdout),
                Some(SinkSpec::file(path.clone())),
                None,
                Some(SinkSpec::Stdout),
                Some(SinkSpec::file(folder.path().join("./a"))),
                Some(SinkSpec::file(link)),
            ],
            Streams {
                stdout: Box::new(stdout.clone()),
                ..streams()
            },
        )
        .expect("opened");
        for (number, sink) in sinks.iter_mut().enumerate() {
            sink.write_line(&number.to_string()).expect("written");
        }
        assert_eq!(*stdout.0.lock().expect("not poisoned"), b"0\n3\n");
        let text = std::fs::read_to_string(path).expect("there");
        assert_eq!(text, "1\n4\n5\n");
    }

    #[test]
    fn nothing_is_overwritten_if_a_sink_cannot_be_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = folder.path().join("a");
        std::fs::write(&a, "old").expect("written");
        refused(vec![
            SinkSpec::file(a.clone()),
            SinkSpec::file(folder.path().join("no/a")),
        ]);
        assert_eq!(std::fs::read_to_string(a).expect("there"), "old");
    }

    #[test]
    fn all_that_cannot_be_opened_is_told_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = folder.path().join("a");
        let nowhere = folder.path().join("no/a");
        let text = refused(vec![
            SinkSpec::file(nowhere.clone()),
            SinkSpec::file(a.clone()),
            SinkSpec::File(FileSpec {
                path: folder.path().join("./a"),
                rotation: Some(Rotation {
                    size: NonZeroU64::new(1024),
                    every: None,
                    keep: None,
                }),
            }),
            SinkSpec::file(folder.path().to_owned()),
            SinkSpec::Unix(folder.path().join("socket")),
        ]);
        let nowhere = nowhere.display();
        for part in [
            "4 mistakes",
            &format!("cannot write telemetry to `{nowhere}`"),
            "hint: create the folder first",
            "are one file",
            "hint: name a file in it",
            "cannot connect the sink `unix:",
            "hint: start what receives the log entries first",
        ] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
    }
}
