//! A consumer of log entries as a child process, with a shipped configuration.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::guests::repository;

/// How long a consumer may take for a step. Only a broken one gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The text of a file of `deploy/logs`.
pub(crate) fn shipped(name: &str) -> String {
    let file = repository().join("deploy/logs").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()))
}

/// A program that `ci/consumers` puts in place.
pub(crate) fn program(name: &str) -> PathBuf {
    let file = repository().join("target/tools/bin").join(name);
    assert!(
        file.is_file(),
        "`{}` is missing: run `ci/consumers`, as `ci/test` does",
        file.display(),
    );
    file
}

/// A running consumer. It is killed when dropped.
pub(crate) struct Consumer {
    child: Child,
    log: PathBuf,
}

impl Consumer {
    /// Starts it; what it prints goes to a file of the folder.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Self {
        let log = folder.join("consumer.log");
        let file = File::create(&log).expect("the folder is ours");
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file)
            .spawn()
            .expect("it is installed and can be started");
        Self { child, log }
    }

    /// What it printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `happened`.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !happened(self) {
            let ended = self.child.try_wait().expect("it is our child");
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "{what} did not happen (ended: {ended:?})\n{}",
                self.printed(),
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells it to end, and waits until it has passed on what it had.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has a positive id");
        kill_process(pid, Signal::TERM).expect("the child is not yet waited for");
        let start = Instant::now();
        while self.child.try_wait().expect("it is our child").is_none() {
            assert!(
                start.elapsed() < PATIENCE,
                "it does not end\n{}",
                self.printed()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
