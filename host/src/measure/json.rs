//! How what was measured stands in JSON: the types that serde has no form for.
//!
//! For `#[serde(with = "…")]` on the fields of events. A [`Duration`] is a
//! number of milliseconds, as in the WIT; shared values are what they share; a
//! tag is a pair.

use std::sync::Arc;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A type with a form of its own.
pub(crate) trait Json: Sized {
    /// Writes it.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads it back: the same value.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Writes a field.
pub(crate) fn serialize<T: Json, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.write(serializer)
}

/// Reads a field.
pub(crate) fn deserialize<'de, T: Json, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::read(deserializer)
}

impl Json for Duration {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // One division, so that the shortest text for it is that of the decimal.
        serializer.serialize_f64(self.as_nanos() as f64 / 1e6)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis = f64::deserialize(deserializer)?;
        // Rounds to the nanosecond, which undoes the way there.
        Self::try_from_secs_f64(millis / 1e3)
            .map_err(|_| D::Error::custom(format!("`{millis}` is no duration in milliseconds")))
    }
}

impl<T: ?Sized> Json for Arc<T>
where
    T: Serialize,
    for<'de> Box<T>: Deserialize<'de>,
    Self: From<Box<T>>,
{
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<T>::deserialize(deserializer).map(Self::from)
    }
}

impl<T: Json> Json for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Written).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Option::<Read<T>>::deserialize(deserializer)?;
        Ok(read.map(|Read(value)| value))
    }
}

impl<T: Json> Json for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Written))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Vec::<Read<T>>::deserialize(deserializer)?;
        Ok(read.into_iter().map(|Read(value)| value).collect())
    }
}

impl<A: Json, B: Json> Json for (A, B) {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Written(&self.0), Written(&self.1)).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Read(a), Read(b)) = Deserialize::deserialize(deserializer)?;
        Ok((a, b))
    }
}

/// A part of a value on its way to JSON.
struct Written<'a, T>(&'a T);

impl<T: Json> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// A part of a value on its way back.
struct Read<T>(T);

impl<'de, T: Json> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::measure::Tag;

    fn there_and_back<T: Json>(value: &T) -> (serde_json::Value, T) {
        let json = serde_json::to_value(Written(value)).expect("it has a form");
        let text = json.to_string();
        let Read(back) = serde_json::from_str(&text).expect("it reads back");
        (json, back)
    }

    #[test]
    fn tags_are_pairs_and_what_is_absent_is_null() {
        let tags: Vec<Tag> = vec![("a".into(), "b".into())];
        assert_eq!(there_and_back(&tags), (json!([["a", "b"]]), tags));
        let none: Option<Arc<str>> = None;
        assert_eq!(there_and_back(&none), (json!(null), none));
    }

    #[test]
    fn only_a_duration_is_a_duration() {
        for text in ["-1", "1e300", "\"1s\"", "null"] {
            assert!(
                serde_json::from_str::<Read<Duration>>(text).is_err(),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_duration_of_up_to_ten_days_stays_the_same(nanos in 0u64..864_000_000_000_000) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(there_and_back(&duration).1, duration);
        }
    }
}
