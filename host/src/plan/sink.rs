//! Where a recorder's log entries go, as the user asked for it.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// Where log entries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkSpec {
    /// To stdout.
    Stdout,
    /// To stderr, between the messages of the program.
    Stderr,
    /// To a file.
    File(FileSpec),
    /// To a Unix socket, of streams or of datagrams.
    Unix(PathBuf),
    /// To a TCP socket.
    Tcp {
        /// A name or an address; an IPv6 address without brackets.
        host: String,
        /// The port, never 0.
        port: u16,
    },
}

impl SinkSpec {
    /// A file that is not rotated.
    pub fn file(path: PathBuf) -> Self {
        Self::File(FileSpec {
            path,
            rotation: None,
        })
    }
}

/// As it is written behind `sink=`.
impl fmt::Display for SinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(file) => write!(f, "file:{}", file.path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// One object whatever the kind, so that no key has two types.
impl Serialize for SinkSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rotation = match self {
            Self::File(file) => file.rotation.as_ref(),
            _ => None,
        };
        let fields = 1 + usize::from(rotation.is_some());
        let mut object = serializer.serialize_struct("SinkSpec", fields)?;
        object.serialize_field("to", &self.to_string())?;
        if let Some(rotation) = rotation {
            object.serialize_field("rotation", rotation)?;
        }
        object.end()
    }
}

/// A file for log entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// The file that is written to.
    pub path: PathBuf,
    /// When it makes room for a new one; `None` is never.
    pub rotation: Option<Rotation>,
}

/// When a file makes room for a new one of its name, whichever comes first; at
/// least one of the two is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// How large a file gets, in bytes. Only a single line that is longer makes
    /// a larger one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<NonZeroU64>,
    /// For how long a file is written to.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::time::if_any"
    )]
    pub every: Option<Duration>,
    /// How many of the older files stay; `None` is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<NonZeroU32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_one_object_whatever_its_kind() {
        let file = SinkSpec::File(FileSpec {
            path: "a.ndjson".into(),
            rotation: Some(Rotation {
                size: NonZeroU64::new(1024),
                every: Some(Duration::from_secs(3600)),
                keep: None,
            }),
        });
        let tcp = SinkSpec::Tcp {
            host: "::1".to_owned(),
            port: 9000,
        };
        for (sink, json) in [
            (SinkSpec::Stdout, r#"{"to":"stdout"}"#),
            (tcp, r#"{"to":"tcp:[::1]:9000"}"#),
            (
                file,
                r#"{"to":"file:a.ndjson","rotation":{"size":1024,"every":"1h"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&sink).expect("valid"), json);
        }
    }
}
