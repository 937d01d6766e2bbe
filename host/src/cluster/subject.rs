//! Who may say what where.
//!
//! | subject | said by | heard by |
//! |---|---|---|
//! | `squall.CLUSTER.m.all` | the master | every worker |
//! | `squall.CLUSTER.m.run.RUN` | the master | the workers of a run, and the master, which so knows that the server works |
//! | `squall.CLUSTER.m.one.WORKER` | the master | one worker |
//! | `squall.CLUSTER.w.WORKER` | one worker | the master |
//!
//! A server that lets workers publish below `w` and subscribe below `m`, and no
//! more, thereby keeps them from commanding and from reading each other's results.

/// The subjects of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Subjects(String);

impl Subjects {
    pub(super) fn new(cluster: &str) -> Self {
        Self(format!("squall.{cluster}"))
    }

    pub(super) fn all(&self) -> String {
        format!("{}.m.all", self.0)
    }

    pub(super) fn run(&self, run: &str) -> String {
        format!("{}.m.run.{run}", self.0)
    }

    pub(super) fn one(&self, worker: &str) -> String {
        format!("{}.m.one.{worker}", self.0)
    }

    pub(super) fn from(&self, worker: &str) -> String {
        format!("{}.w.{worker}", self.0)
    }

    pub(super) fn all_workers(&self) -> String {
        format!("{}.w.*", self.0)
    }

    /// Who said something, by its subject.
    pub(super) fn sender<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let rest = subject.strip_prefix(&*self.0)?;
        rest.strip_prefix(".w.")
    }

    /// What workers alone may publish, and what they may subscribe to.
    pub(super) fn of_workers(&self) -> (String, String) {
        (format!("{}.w.>", self.0), format!("{}.m.>", self.0))
    }

    /// What the master alone may publish, and what it may subscribe to.
    pub(super) fn of_master(&self) -> (String, [String; 2]) {
        (
            format!("{}.m.>", self.0),
            [format!("{}.w.>", self.0), format!("{}.m.run.>", self.0)],
        )
    }
}

/// Whether a text can be a part of a subject.
pub(super) fn is_part(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.len() <= 128 && text.bytes().all(is_plain)
}
