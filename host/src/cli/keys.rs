//! The keys: a run steered at its terminal.
//!
//! While a run has the terminal's foreground, its keys come one by one and are
//! not shown. How the terminal was is put back on every way out, and whenever the
//! process is not in the foreground the terminal is left alone: it is somebody
//! else's then.

use std::io::{self, IsTerminal as _, Stdin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Interval, interval};

/// How the terminal was before it was changed; `None` if it is not changed.
///
/// It belongs to the process as the terminal does: a panic on any thread has to
/// put it back. Whoever reads keys holds it meanwhile, a tenth of a second at the
/// most, so that nobody reads from a terminal that is as it was, where reading
/// waits for a line, or that is somebody else's.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// How long reading waits for a key, in tenths of a second.
const READ_TENTHS: u8 = 1;
/// How long others have between two reads.
const BREATH: Duration = Duration::from_millis(10);
/// How long until the next look at a terminal that is not ours.
const AWAY: Duration = Duration::from_millis(100);
/// How often to look whether the process came to the foreground.
const LOOK: Duration = Duration::from_secs(1);

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// More load.
    More,
    /// Less load.
    Less,
    /// Pauses, or resumes.
    Pause,
    /// Ends the run.
    Stop,
    /// Tells the keys.
    Help,
    /// The process was asked to end at once, by a signal that would have left the
    /// terminal as it is.
    Quit,
}

impl Key {
    /// What [`Key::Help`] tells.
    pub(super) const HELP: &str = "keys: + more load, - less (by a tenth, at least by 1), \
        p pause or resume, q stop, ? these keys\n";

    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'+' | b'=' => Self::More,
            b'-' | b'_' => Self::Less,
            b'p' | b'P' | b' ' => Self::Pause,
            // Not `s`, by which another tool's users take one VU away.
            b'q' | b'Q' => Self::Stop,
            b'?' | b'h' | b'H' => Self::Help,
            _ => return None,
        })
    }
}

/// The keys of the terminal. It is put back when they are dropped.
pub(super) struct Keys {
    /// As many as a person types.
    typed: UnboundedReceiver<Key>,
    suspend: Signals,
    resume: Signals,
    looks: Interval,
    quit: Signals,
    hang_up: Signals,
}

impl Keys {
    /// Takes the terminal's keys, if stdin is a terminal. To be called within a
    /// runtime. A terminal that cannot be used so has no keys.
    pub(super) fn take() -> Option<Self> {
        // A process in the background gets none, but may be brought to the front.
        if !io::stdin().is_terminal() || tcgetpgrp(io::stdin()).is_err() {
            return None;
        }
        let (keys, typed) = unbounded_channel();
        let keys_of_ours = Self {
            typed,
            suspend: signal(SignalKind::from_raw(Signal::TSTP.as_raw())).ok()?,
            resume: signal(SignalKind::from_raw(Signal::CONT.as_raw())).ok()?,
            looks: interval(LOOK),
            quit: signal(SignalKind::quit()).ok()?,
            hang_up: signal(SignalKind::hangup()).ok()?,
        };
        change_terminal();
        // It ends by itself when nobody hears it any more.
        thread::Builder::new()
            .name("squall-keys".to_owned())
            .spawn(move || listen(&keys))
            .ok()?;
        Some(keys_of_ours)
    }

    /// The next key. Stops the process with ctrl-z, as a process that has taken
    /// no keys does. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Key {
        loop {
            tokio::select! {
                _ = self.suspend.recv() => {
                    restore();
                    // Returns when it goes on, in the background perhaps.
                    let _ = kill_process(getpid(), Signal::STOP);
                    change_terminal();
                }
                _ = self.resume.recv() => change_terminal(),
                // A shell that brings a running process to the front says nothing.
                _ = self.looks.tick() => if !are_ours() { change_terminal() },
                _ = self.quit.recv() => return Key::Quit,
                _ = self.hang_up.recv() => return Key::Quit,
                Some(key) = self.typed.recv() => return key,
            }
        }
    }
}

/// Whether the terminal's keys come to this process.
pub(super) fn are_ours() -> bool {
    before().is_some()
}

/// Reads keys whenever they are ours, until nobody hears them.
fn listen(keys: &UnboundedSender<Key>) {
    let stdin = io::stdin();
    while !keys.is_closed() {
        let changed = before();
        if changed.is_none() || !is_in_foreground(&stdin) {
            drop(changed);
            thread::sleep(AWAY);
            continue;
        }
        let mut bytes = [0; 64];
        let read = rustix::io::read(&stdin, &mut bytes);
        drop(changed);
        match read {
            Ok(read) => {
                for key in bytes[..read].iter().copied().filter_map(Key::of) {
                    // Checked above, and the keys after the last are nobody's.
                    let _ = keys.send(key);
                }
                thread::sleep(BREATH);
            }
            // The terminal is gone.
            Err(_) => thread::sleep(AWAY),
        }
    }
}

/// Lets keys come one by one and unseen, and reading never wait for long, if the
/// process is in the foreground.
fn change_terminal() {
    let stdin = io::stdin();
    let mut before = before();
    if !is_in_foreground(&stdin) {
        return;
    }
    let Ok(mut modes) = tcgetattr(&stdin) else {
        return;
    };
    let was = modes.clone();
    modes
        .local_modes
        .remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 0;
    modes.special_codes[SpecialCodeIndex::VTIME] = READ_TENTHS;
    if tcsetattr(&stdin, OptionalActions::Now, &modes).is_ok() {
        before.get_or_insert(was);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was. Does nothing if it is as it was.
pub(super) fn restore() {
    let stdin = io::stdin();
    // In the background it is somebody else's, who has set it for themselves.
    if let Some(before) = before().take()
        && is_in_foreground(&stdin)
    {
        let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
    }
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_in_foreground(stdin: &Stdin) -> bool {
    tcgetpgrp(stdin).is_ok_and(|group| group == getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_help_means_something() {
        for (byte, key) in [
            (b'+', Key::More),
            (b'-', Key::Less),
            (b'p', Key::Pause),
            (b'q', Key::Stop),
            (b'?', Key::Help),
        ] {
            assert_eq!(Key::of(byte), Some(key));
            assert!(Key::HELP.contains(&format!("{} ", char::from(byte))));
        }
        assert_eq!(Key::of(b's'), None);
        assert_eq!(Key::of(4), None);
    }
}
