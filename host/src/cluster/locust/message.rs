//! What a Locust master and its workers say to each other: MessagePack, an array of
//! the kind, the data and the id of the worker. What Locust has and squall does not
//! need is passed over; `parsed_options`, the master's whole command line, above
//! all.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::message::{Artefact, Part};
use crate::plan::Plan;

/// The message in which a worker asks the master's stub for what there is to play.
pub(super) const ASK_FOR_PLAN: &str = "squall.plan";
/// The message in which it asks for a part of a file.
pub(super) const ASK_FOR_PART: &str = "squall.part";

/// What a master says.
#[derive(Debug)]
pub(super) enum FromMaster {
    /// It knows the worker now, as the one of this number.
    Ack(Ack),
    /// An answer to a heartbeat: only a worker that it knows gets one.
    Heartbeat,
    /// From now on so many users of each class.
    Spawn(Box<Spawn>),
    /// No users any more; the worker is still needed.
    Stop,
    /// No users any more, and the worker may go.
    Quit,
    /// The connection is to be made anew.
    Reconnect,
    /// What locust-telemetry tells workers before a test.
    Metadata(Metadata),
    /// What the stub says there is to play.
    Plan(Box<Carried>),
    /// A part of a file.
    Part(Part),
    /// What squall has no use for.
    Other(String),
}

/// The answer to a worker that says that it is ready.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ack {
    /// The worker's number; masters before 2.10.2 tell none.
    pub(super) index: Option<u32>,
}

/// How many users there are to be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spawn {
    /// When the master said so, in seconds since the Unix epoch: what is older than
    /// the last one is out of date.
    pub(super) timestamp: f64,
    /// By class: how many there are to be on this worker, in all.
    pub(super) user_classes_count: BTreeMap<String, u32>,
    /// What URLs are relative to, if the master's user said so.
    pub(super) host: Option<String>,
    /// How long users may go on when they are to end, in seconds.
    pub(super) stop_timeout: Option<f64>,
}

/// The metadata of a test.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    /// What the test is called in all telemetry.
    pub(super) run_id: Option<String>,
}

/// What a stub carries: everything that a worker needs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Carried {
    /// The version of the program that wrote it.
    pub(super) host_version: String,
    /// The plan, as a master of squall's sends it. Its paths are another machine's.
    #[serde(with = "super::super::wire::bytes_form")]
    pub(super) plan: Vec<u8>,
    /// By scenario: the script, unless it is part of the program.
    pub(super) scripts: Vec<Option<Artefact>>,
    /// By data source: the file.
    pub(super) data: Vec<Artefact>,
}

impl Carried {
    /// Reads the plan.
    pub(super) fn plan(&self) -> Option<Plan> {
        rmp_serde::from_slice(&self.plan).ok()
    }
}

impl FromMaster {
    /// Reads a message; `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match rmp_serde::from_slice(bytes) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::debug!(%error, "what the master said cannot be read");
                None
            }
        }
    }
}

impl<'de> Deserialize<'de> for FromMaster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Message;

        impl<'de> Visitor<'de> for Message {
            type Value = FromMaster;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a kind, data and an id")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut message: A) -> Result<FromMaster, A::Error> {
                fn data<'de, T, A>(message: &mut A) -> Result<T, A::Error>
                where
                    T: Deserialize<'de>,
                    A: SeqAccess<'de>,
                {
                    let missing = || serde::de::Error::custom("the data is missing");
                    message.next_element()?.ok_or_else(missing)
                }
                let kind: String = data(&mut message)?;
                let read = match &*kind {
                    "ack" => {
                        let ack: Option<Ack> = data(&mut message)?;
                        FromMaster::Ack(ack.unwrap_or_default())
                    }
                    "spawn" => FromMaster::Spawn(data(&mut message)?),
                    "set_metadata" => FromMaster::Metadata(data(&mut message)?),
                    ASK_FOR_PLAN => FromMaster::Plan(data(&mut message)?),
                    ASK_FOR_PART => FromMaster::Part(data(&mut message)?),
                    other => {
                        let _: IgnoredAny = data(&mut message)?;
                        match other {
                            "heartbeat" => FromMaster::Heartbeat,
                            "stop" => FromMaster::Stop,
                            "quit" => FromMaster::Quit,
                            "reconnect" => FromMaster::Reconnect,
                            _ => FromMaster::Other(kind),
                        }
                    }
                };
                while message.next_element::<IgnoredAny>()?.is_some() {}
                Ok(read)
            }
        }

        deserializer.deserialize_seq(Message)
    }
}

/// A worker's sign of life.
#[derive(Debug, Serialize)]
pub(super) struct Heartbeat {
    /// `ready`, `spawning` or `running`.
    pub(super) state: &'static str,
    /// In percent of what the worker may use: beyond 90 the master warns.
    pub(super) current_cpu_usage: f64,
    /// In bytes.
    pub(super) current_memory_usage: u64,
}

/// How many users there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Users {
    /// By class.
    pub(super) user_classes_count: BTreeMap<String, u32>,
    /// In all.
    pub(super) user_count: u32,
}

impl Users {
    /// Of classes and how many there are of each.
    pub(super) fn of(count: impl IntoIterator<Item = (String, u32)>) -> Self {
        let user_classes_count: BTreeMap<String, u32> = count.into_iter().collect();
        Self {
            user_count: user_classes_count.values().sum(),
            user_classes_count,
        }
    }
}

/// What was measured since the last report.
#[derive(Debug, Serialize)]
pub(super) struct Stats {
    /// Every method and name of which there was a request.
    pub(super) stats: Vec<StatsEntry>,
    /// All of them together.
    pub(super) stats_total: StatsEntry,
    /// By their key.
    pub(super) errors: BTreeMap<String, StatsError>,
    /// By class: how many users there are.
    pub(super) user_classes_count: BTreeMap<String, u32>,
    /// In all.
    pub(super) user_count: u32,
}

/// Requests of one method and name, in Locust's figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct StatsEntry {
    pub(super) name: String,
    pub(super) method: String,
    /// In seconds since the Unix epoch, as all that follow.
    pub(super) last_request_timestamp: Option<f64>,
    pub(super) start_time: f64,
    pub(super) num_requests: u64,
    /// Requests without a time: squall has none.
    pub(super) num_none_requests: u64,
    pub(super) num_failures: u64,
    /// In milliseconds, as all that follow.
    pub(super) total_response_time: f64,
    pub(super) max_response_time: f64,
    /// None if there was no request: 0 would be the master's smallest for ever.
    pub(super) min_response_time: Option<f64>,
    pub(super) total_content_length: u64,
    /// By milliseconds, rounded as Locust rounds.
    pub(super) response_times: BTreeMap<u64, u64>,
    /// By second since the Unix epoch.
    pub(super) num_reqs_per_sec: BTreeMap<i64, u64>,
    pub(super) num_fail_per_sec: BTreeMap<i64, u64>,
}

/// Requests that failed in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StatsError {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) error: String,
    pub(super) occurrences: u64,
    /// In seconds since the Unix epoch.
    pub(super) first_seen: f64,
    pub(super) last_seen: f64,
}

/// A failure of a script's own.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Exception {
    pub(super) msg: String,
    /// The master groups by it.
    pub(super) traceback: String,
}

/// All that a worker has said so far.
#[derive(Debug, Serialize)]
pub(super) struct Logs<'a> {
    pub(super) worker_id: &'a str,
    pub(super) logs: &'a [String],
}

/// A worker asks for a part of a file.
#[derive(Debug, Serialize)]
pub(super) struct Wanted<'a> {
    pub(super) sha256: &'a str,
    pub(super) offset: u64,
}

/// A message of the worker `id`. Data that is none is `&()`.
pub(super) fn write<T: Serialize>(kind: &str, data: &T, id: &str) -> Bytes {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    (kind, data, id)
        .serialize(&mut serializer)
        .expect("messages are plain data");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_no_use_is_passed_over() {
        #[derive(Serialize)]
        struct Theirs {
            timestamp: f64,
            user_classes_count: BTreeMap<&'static str, u32>,
            host: Option<&'static str>,
            stop_timeout: u32,
            parsed_options: BTreeMap<u32, Vec<Option<&'static str>>>,
        }
        let theirs = Theirs {
            timestamp: 1.5,
            user_classes_count: [("browse", 3), ("buy", 0)].into(),
            host: None,
            stop_timeout: 2,
            parsed_options: [(7, vec![None, Some("secret")])].into(),
        };
        let Some(FromMaster::Spawn(spawn)) = FromMaster::read(&write("spawn", &theirs, "w")) else {
            panic!("it is a spawn");
        };
        assert_eq!(spawn.timestamp, 1.5);
        assert_eq!(spawn.user_classes_count["browse"], 3);
        assert_eq!((spawn.host, spawn.stop_timeout), (None, Some(2.0)));
        for (kind, known) in [("stop", true), ("update_user_class", false)] {
            let read = FromMaster::read(&write(kind, &theirs, "w"));
            let is_other = matches!(&read, Some(FromMaster::Other(other)) if other == kind);
            assert_eq!(!is_other, known, "{read:?}");
        }
        assert!(FromMaster::read(b"\x93\xa5spawn\x01").is_none());
    }

    #[test]
    fn a_master_without_numbers_is_understood() {
        let read = |bytes: &[u8]| match FromMaster::read(bytes) {
            Some(FromMaster::Ack(ack)) => ack.index,
            other => panic!("{other:?}"),
        };
        assert_eq!(read(&write("ack", &(), "w")), None);
        let numbered = BTreeMap::from([("index", 4)]);
        assert_eq!(read(&write("ack", &numbered, "w")), Some(4));
    }
}
