//! The notice: a file that only its user may read, in which a run says where its
//! control API listens, so that `squall ctl` finds it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::Token;

/// A run that listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listening {
    /// The process.
    pub pid: u32,
    /// Where to call it.
    pub address: SocketAddr,
    /// What it runs.
    pub test_plan: String,
    /// The token, unless the user chose it and so has it.
    pub token: Option<Token>,
}

impl Listening {
    /// Whether a call to an address reaches it.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        let (own, called) = (self.address.ip(), address.ip());
        let everywhere = own.is_unspecified() && called.is_loopback();
        self.address.port() == address.port() && (own == called || everywhere)
    }
}

/// A notice that is up. It is taken down when dropped.
#[derive(Debug)]
pub struct Notice {
    path: PathBuf,
}

impl Notice {
    /// Puts a notice up in a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn put_up(folder: &Path, listening: &Listening) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let path = folder.join(format!("{}.json", listening.pid));
        // Of an earlier process with our number. What is there is replaced, never
        // written to: it could be a link, or readable by others.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let notice = Self { path };
        let text = serde_json::to_vec(listening).expect("a notice is plain data");
        file.write_all(&text)?;
        Ok(notice)
    }

    /// Takes it down. For a process that ends without dropping anything.
    pub fn take_down(&self) {
        // It may have gone with its folder.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// The runs that listen, by process. Removes the notices of processes that are
/// gone, which had no time to.
pub fn listening(folder: &Path) -> Vec<Listening> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = fs::read(&path).unwrap_or_default();
        let Ok(listening) = serde_json::from_slice::<Listening>(&text) else {
            continue;
        };
        if is_alive(listening.pid) {
            found.push(listening);
        } else {
            // Somebody else may have been faster.
            let _ = fs::remove_file(&path);
        }
    }
    found.sort_by_key(|listening| listening.pid);
    found
}

fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // Another user's process may not be signalled, but is there.
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn here(pid: u32) -> Listening {
        Listening {
            pid,
            address: ([127, 0, 0, 1], 6789).into(),
            test_plan: "shop".to_owned(),
            token: Some(Token::random().expect("random")),
        }
    }

    fn pids(folder: &Path) -> Vec<u32> {
        listening(folder).iter().map(|found| found.pid).collect()
    }

    #[test]
    fn a_notice_is_found_while_it_is_up_and_read_by_its_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("squall");
        assert!(pids(&folder).is_empty());
        let own = here(std::process::id());
        let notice = Notice::put_up(&folder, &own).expect("it is written");
        let found = listening(&folder);
        let secret = |one: &Listening| one.token.as_ref().map(|token| token.secret().to_owned());
        assert_eq!(found.len(), 1);
        assert_eq!(secret(&found[0]), secret(&own));
        let secret = secret(&own).expect("it has one");
        assert!(!format!("{own:?}").contains(&secret));
        for (path, mode) in [(&notice.path, 0o600), (&folder, 0o700)] {
            let found = fs::metadata(path).expect("it is there").permissions();
            assert_eq!(found.mode() & 0o777, mode, "{}", path.display());
        }
        drop(notice);
        assert!(pids(&folder).is_empty());
    }

    #[test]
    fn what_a_dead_process_left_is_cleared_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = std::process::Command::new("true").spawn().expect("true");
        child.wait().expect("it is our child");
        let left = Notice::put_up(folder.path(), &here(child.id())).expect("written");
        fs::write(folder.path().join("notes.txt"), "not a notice").expect("written");
        assert!(pids(folder.path()).is_empty());
        assert!(!left.path.exists());
        assert!(folder.path().join("notes.txt").exists());
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "precious").expect("written");
        let own = here(std::process::id());
        let path = folder.path().join(format!("{}.json", own.pid));
        std::os::unix::fs::symlink(&elsewhere, &path).expect("linked");
        let _notice = Notice::put_up(folder.path(), &own).expect("written");
        assert_eq!(fs::read(&elsewhere).expect("there"), b"precious");
        assert_eq!(pids(folder.path()), [own.pid]);
    }

    #[test]
    fn a_run_that_listens_everywhere_is_at_this_machines_own_address() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let listening = |text: &str| Listening {
            address: at(text),
            ..here(1)
        };
        assert!(listening("0.0.0.0:1").is_at(at("127.0.0.1:1")));
        assert!(listening("127.0.0.1:1").is_at(at("127.0.0.1:1")));
        assert!(!listening("0.0.0.0:1").is_at(at("127.0.0.1:2")));
        assert!(!listening("0.0.0.0:1").is_at(at("10.0.0.1:1")));
        assert!(!listening("127.0.0.1:1").is_at(at("[::1]:1")));
    }
}
