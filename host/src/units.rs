//! Durations, sizes and rates as people write and read them.

use std::fmt;
use std::time::Duration;

/// A text that is not a duration, a size or a rate: what was expected instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError(&'static str);

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for UnitError {}

const DURATION: UnitError =
    UnitError("a duration with its unit, such as `30s`, `1m30s`, `2h` or `500ms`");
const RATE: UnitError = UnitError("a rate with its unit, such as `50/s`, `600/m` or `0.5/s`");
const SIZE: UnitError = UnitError("a size with its unit, such as `64MiB`, `512KiB` or `1GiB`");

/// Parses a duration: one or more numbers, each with one of the units `h`,
/// `m`, `s`, `ms`, `us`, the larger ones first. `0` needs no unit.
///
/// # Errors
///
/// If the text is anything else, or the duration is longer than 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const UNITS: [(&str, f64); 5] = [
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
        ("ms", 1e-3),
        ("us", 1e-6),
    ];
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut smallest = f64::INFINITY;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit, left) = number_and_unit(rest).ok_or(DURATION)?;
        let (_, size) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(DURATION)?;
        if *size >= smallest {
            return Err(DURATION);
        }
        smallest = *size;
        seconds += number * size;
        rest = left;
    }
    if text.is_empty() || seconds > 100.0 * 365.0 * 24.0 * 3600.0 {
        return Err(DURATION);
    }
    // Rounded to the nanosecond, which a sum of fractions would miss.
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

/// Parses a size in bytes: a number with one of the units `B`, `KiB`, `MiB`,
/// `GiB`, or `KB`, `MB`, `GB` for powers of ten; upper or lower case.
///
/// # Errors
///
/// If the text is anything else.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    const UNITS: [(&str, f64); 7] = [
        ("b", 1.0),
        ("kib", 1024.0),
        ("mib", 1048576.0),
        ("gib", 1073741824.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
    ];
    let lower = text.trim().to_ascii_lowercase();
    let (number, unit, rest) = number_and_unit(&lower).ok_or(SIZE)?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SIZE)?;
    let bytes = (number * size).round();
    if !rest.is_empty() || bytes > 2f64.powi(53) {
        return Err(SIZE);
    }
    Ok(bytes as u64)
}

/// How often something happens: a number for each second, minute or hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    count: f64,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

impl Rate {
    /// The most that makes sense, a second.
    pub const MAX: f64 = 1e9;

    /// So many a second.
    ///
    /// # Panics
    ///
    /// If it is negative or not a number.
    pub fn per_second(count: f64) -> Self {
        assert!(count >= 0.0, "a rate is not negative");
        Self {
            count,
            per: Per::Second,
        }
    }

    /// How many a second.
    pub fn per_s(self) -> f64 {
        self.count
            / match self.per {
                Per::Second => 1.0,
                Per::Minute => 60.0,
                Per::Hour => 3600.0,
            }
    }

    /// Another number in the same unit, from a text such as `80`.
    ///
    /// # Errors
    ///
    /// If the text is no number, or a negative one.
    pub fn same_unit(self, text: &str) -> Result<Self, UnitError> {
        let count = number(text.trim()).ok_or(RATE)?;
        Self {
            count,
            per: self.per,
        }
        .sensible()
    }

    fn sensible(self) -> Result<Self, UnitError> {
        (self.per_s() <= Self::MAX).then_some(self).ok_or(RATE)
    }
}

/// Parses a rate: a number, a slash and one of the units `s`, `m`, `h`.
///
/// # Errors
///
/// If the text is anything else, or more than 1,000,000,000 a second.
pub fn parse_rate(text: &str) -> Result<Rate, UnitError> {
    let (count, unit) = text.trim().split_once('/').ok_or(RATE)?;
    let per = match unit.trim() {
        "s" => Per::Second,
        "m" => Per::Minute,
        "h" => Per::Hour,
        _ => return Err(RATE),
    };
    let count = number(count.trim()).ok_or(RATE)?;
    Rate { count, per }.sensible()
}

/// A number without sign and exponent.
fn number(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Prints a rate as [`parse_rate`] reads it: `50/s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rate(&text).map_err(serde::de::Error::custom)
    }
}

/// Splits a number, the letters after it, and what is left.
fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number = text[..end].parse().ok()?;
    let tail = text[end..].trim_start_matches(' ');
    let end = tail
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(tail.len());
    Some((number, &tail[..end], tail[end..].trim_start_matches(' ')))
}

/// Prints a duration as [`parse_duration`] reads it: `1m30s`, `500ms`, `1.5s`.
#[derive(Debug, Clone, Copy)]
pub struct Pretty(pub Duration);

impl fmt::Display for Pretty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < 1_000_000 {
            return write!(f, "{}us", nanos as f64 / 1e3);
        }
        if nanos < 1_000_000_000 {
            return write!(f, "{}ms", nanos as f64 / 1e6);
        }
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let left = (seconds % 60) as f64 + f64::from(self.0.subsec_nanos()) / 1e9;
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if left > 0.0 {
            // At most nine digits, none of them a leftover of the addition.
            let text = format!("{left:.9}");
            write!(f, "{}s", text.trim_end_matches('0').trim_end_matches('.'))?;
        }
        Ok(())
    }
}

/// Prints a number of bytes with a binary unit: `12.5 MiB`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1023.95 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        if unit == "B" {
            write!(f, "{value} B")
        } else {
            write!(f, "{value:.1} {unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1h 30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "30", "s", "1x", "30s1m", "1s1s", "-1s", "1..5s", "1e3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1.5 KiB", 1536),
            ("2gb", 2_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "64", "MiB", "64MiBs", "1 2B"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_read_as_people_write_them() {
        for (text, per_s) in [
            ("50/s", 50.0),
            ("600/m", 10.0),
            (" 0.5 / s", 0.5),
            ("3600/h", 1.0),
            ("0/s", 0.0),
        ] {
            let rate = parse_rate(text).expect(text);
            assert_eq!(rate.per_s(), per_s, "{text}");
            assert_eq!(parse_rate(&rate.to_string()), Ok(rate));
        }
        for text in [
            "",
            "50",
            "/s",
            "s",
            "50/",
            "-1/s",
            "1e3/s",
            "NaN/s",
            "5/d",
            "2000000000/s",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        let minutes = parse_rate("60/m").expect("a rate");
        assert_eq!(minutes.same_unit("120").expect("a number").per_s(), 2.0);
        assert!(minutes.same_unit("120/s").is_err());
    }

    #[test]
    fn sizes_print_with_one_decimal() {
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes((1 << 20) - 1).to_string(), "1.0 MiB");
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(micros in 0u64..1_000_000_000_000) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&Pretty(duration).to_string()), Ok(duration));
        }
    }
}
