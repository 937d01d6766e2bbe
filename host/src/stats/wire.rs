//! How statistics are written where they go from one machine to another: maps
//! whose keys are shared texts, and numbers that are mostly small.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Bytes that a format need not look into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Packed(pub(super) Vec<u8>);

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Packed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Packed, E> {
                Ok(Packed(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Packed, E> {
                Ok(Packed(bytes))
            }

            // Formats without bytes have numbers in their place.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Packed, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Packed(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// Appends a number: seven bits a byte, the lowest first.
pub(super) fn write_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Takes a number off the front; `None` if there is no whole one.
pub(super) fn read_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|it| it >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A map by shared texts.
pub(super) mod by_name {
    use std::sync::Arc;

    use rustc_hash::FxHashMap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::stats) fn serialize<V: Serialize, S: Serializer>(
        map: &FxHashMap<Arc<str>, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(name, value)| (&**name, value)))
    }

    pub(in crate::stats) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashMap<Arc<str>, V>, D::Error> {
        let read = FxHashMap::<Box<str>, V>::deserialize(deserializer)?;
        Ok(read
            .into_iter()
            .map(|(name, it)| (name.into(), it))
            .collect())
    }
}

/// A map by method and name: a sequence, since not every format has such keys.
pub(super) mod by_request {
    use rustc_hash::FxHashMap;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::stats::snapshot::{RequestKey, RequestSeries};

    pub(in crate::stats) fn serialize<S: Serializer>(
        map: &FxHashMap<RequestKey, RequestSeries>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let rows = map.iter();
        serializer.collect_seq(rows.map(|(key, series)| (&*key.method, &*key.name, series)))
    }

    pub(in crate::stats) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FxHashMap<RequestKey, RequestSeries>, D::Error> {
        let rows = Vec::<(Box<str>, Box<str>, RequestSeries)>::deserialize(deserializer)?;
        let row = |(method, name, series): (Box<str>, Box<str>, _)| {
            let (method, name) = (method.into(), name.into());
            (RequestKey { method, name }, series)
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::Histogram;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec(any::<u64>(), 0..20)) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| write_number(&mut bytes, *number));
            let mut rest = &bytes[..];
            for number in numbers {
                prop_assert_eq!(read_number(&mut rest), Some(number));
            }
            prop_assert_eq!(read_number(&mut rest), None);
        }

        #[test]
        fn a_histogram_comes_back_bucket_for_bucket(
            values in prop::collection::vec(any::<u64>(), 0..300),
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record_value(*value));
            let bytes = rmp_serde::to_vec_named(&histogram).expect("it has a form");
            let back: Histogram = rmp_serde::from_slice(&bytes).expect("it reads back");
            prop_assert_eq!(back.count(), histogram.count());
            prop_assert_eq!(back.times(), histogram.times());
            prop_assert!(back.buckets().eq(histogram.buckets()));
        }

        #[test]
        fn no_bytes_make_a_histogram_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            #[derive(Serialize)]
            struct Forged {
                sum: f64,
                min: u64,
                max: u64,
                buckets: Packed,
            }
            use serde::Serialize;
            let forged = Forged { sum: 0.0, min: 0, max: 0, buckets: Packed(bytes) };
            let bytes = rmp_serde::to_vec_named(&forged).expect("it has a form");
            if let Ok(histogram) = rmp_serde::from_slice::<Histogram>(&bytes) {
                prop_assert!(histogram.quantile(0.5) <= u64::MAX >> 1 || histogram.count() > 0);
            }
        }
    }

    #[test]
    fn a_number_that_is_too_long_is_none() {
        for mut bytes in [
            &[0x80][..],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(read_number(&mut bytes), None);
        }
    }
}
