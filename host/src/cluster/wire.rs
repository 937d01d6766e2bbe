//! From messages to what a server takes, and back.
//!
//! A message is MessagePack, cut into pieces that are no larger than the server's
//! limit. Each piece begins with 16 bytes: eight that tell messages of a sender
//! apart, the number of the piece and of all pieces. A message of which a piece is
//! lost never comes to be; whoever needs it says so.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{Envelope, VERSION};

/// What comes before each piece.
const HEAD: usize = 16;
/// How large a message may get.
const LARGEST: usize = 256 << 20;
/// How many messages of a sender may be there in part; the oldest goes first.
const PARTIAL: usize = 4;

/// Cuts messages.
#[derive(Debug)]
pub(super) struct Writer {
    /// The number of the next message.
    next: u64,
}

impl Writer {
    /// One whose messages are not mistaken for those of another run of this
    /// program.
    pub(super) fn new() -> Self {
        Self {
            next: uuid::Uuid::now_v7().as_u64_pair().1,
        }
    }

    /// The pieces of a message, each no larger than `limit`.
    pub(super) fn write<T: Serialize>(&mut self, message: &T, limit: usize) -> Vec<bytes::Bytes> {
        let envelope = Envelope {
            v: VERSION,
            body: message,
        };
        let bytes = rmp_serde::to_vec_named(&envelope).expect("messages are plain data");
        self.next = self.next.wrapping_add(1);
        let room = limit.saturating_sub(HEAD).max(1);
        let pieces = bytes.chunks(room);
        let of = u32::try_from(pieces.len()).expect("a message fits into memory");
        let piece = |(number, piece): (usize, &[u8])| {
            let mut framed = Vec::with_capacity(HEAD + piece.len());
            framed.extend_from_slice(&self.next.to_be_bytes());
            framed.extend_from_slice(&(number as u32).to_be_bytes());
            framed.extend_from_slice(&of.to_be_bytes());
            framed.extend_from_slice(piece);
            framed.into()
        };
        pieces.enumerate().map(piece).collect()
    }
}

/// Why a message cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// There is more to come.
    Part,
    /// It is of another version: which.
    Version(u32),
    /// It is none.
    Nonsense,
}

/// Puts messages together.
#[derive(Debug, Default)]
pub(super) struct Reader {
    by_sender: HashMap<String, Vec<Partial>>,
}

#[derive(Debug)]
struct Partial {
    id: u64,
    pieces: Vec<Option<bytes::Bytes>>,
    size: usize,
}

impl Reader {
    /// Takes in a piece: the message, if it was the last that was lacking.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        sender: &str,
        piece: &bytes::Bytes,
    ) -> Result<T, Unread> {
        let (id, number, of) = head(piece).ok_or(Unread::Nonsense)?;
        let body = piece.slice(HEAD..);
        if of == 1 {
            return decode(&body);
        }
        let partials = self.by_sender.entry(sender.to_owned()).or_default();
        let at = match partials.iter().position(|partial| partial.id == id) {
            Some(at) => at,
            None => {
                if partials.len() >= PARTIAL {
                    partials.remove(0);
                }
                partials.push(Partial {
                    id,
                    pieces: vec![None; of],
                    size: 0,
                });
                partials.len() - 1
            }
        };
        let partial = &mut partials[at];
        partial.size += body.len();
        if partial.pieces.len() != of || partial.size > LARGEST {
            partials.remove(at);
            return Err(Unread::Nonsense);
        }
        partial.pieces[number] = Some(body);
        if partial.pieces.iter().any(Option::is_none) {
            return Err(Unread::Part);
        }
        let whole = partials.remove(at).pieces;
        let whole: Vec<u8> = whole
            .iter()
            .flatten()
            .flat_map(|piece| &piece[..])
            .copied()
            .collect();
        decode(&whole)
    }
}

fn head(piece: &[u8]) -> Option<(u64, usize, usize)> {
    let (id, rest) = piece.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let (of, _) = rest.split_first_chunk::<4>()?;
    let number = u32::from_be_bytes(*number) as usize;
    let of = u32::from_be_bytes(*of) as usize;
    // Each piece of such a message would have to be tiny.
    let is_sensible = number < of && of <= LARGEST / 1024;
    is_sensible.then(|| (u64::from_be_bytes(*id), number, of))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
    }
    match rmp_serde::from_slice::<Version>(bytes) {
        Ok(Version { v: VERSION }) => {}
        Ok(Version { v }) => return Err(Unread::Version(v)),
        Err(_) => return Err(Unread::Nonsense),
    }
    let envelope = rmp_serde::from_slice::<Envelope<T>>(bytes);
    envelope.map(|envelope| envelope.body).map_err(|error| {
        tracing::debug!(%error, "a message cannot be read");
        Unread::Nonsense
    })
}

/// Bytes that are written as such.
pub(super) mod bytes_form {
    use std::fmt;

    use serde::de::{Deserializer, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub(in crate::cluster) fn serialize<S: Serializer>(
        value: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(in crate::cluster) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_together_from_its_pieces_in_any_order() {
        let mut writer = Writer::new();
        let message = "x".repeat(1000);
        let mut pieces = writer.write(&message, 64);
        assert!(pieces.len() > 20 && pieces.iter().all(|piece| piece.len() <= 64));
        pieces.reverse();
        let mut reader = Reader::default();
        let last = pieces.pop().expect("there are some");
        for piece in &pieces {
            assert_eq!(reader.read::<String>("a", piece), Err(Unread::Part));
        }
        // Another sender's do not mix with them.
        assert_eq!(reader.read::<String>("b", &last), Err(Unread::Part));
        assert_eq!(reader.read::<String>("a", &last), Ok(message));
    }

    #[test]
    fn another_version_is_told_and_nonsense_is_none() {
        let mut reader = Reader::default();
        let bytes = rmp_serde::to_vec_named(&Envelope { v: 7, body: 1 }).expect("plain data");
        let mut framed = vec![0; 11];
        framed.extend([0, 0, 0, 0, 1]);
        framed.extend(bytes);
        assert_eq!(
            reader.read::<u32>("a", &framed.into()),
            Err(Unread::Version(7))
        );
        for nonsense in [&b""[..], b"short", &[0; 16], &[0xff; 400]] {
            let piece = bytes::Bytes::copy_from_slice(nonsense);
            assert_eq!(reader.read::<u32>("a", &piece), Err(Unread::Nonsense));
        }
    }

    #[test]
    fn what_never_gets_whole_is_forgotten() {
        let mut writer = Writer::new();
        let mut reader = Reader::default();
        let message = "x".repeat(100);
        for _ in 0..100 {
            let pieces = writer.write(&message, 64);
            assert_eq!(reader.read::<String>("a", &pieces[0]), Err(Unread::Part));
        }
        assert_eq!(reader.by_sender["a"].len(), PARTIAL);
    }
}
