//! Points in time, as text.

/// Writes a point in time as RFC 3339, in UTC and with milliseconds: always 24
/// characters.
///
/// What lies before 1970 or after 9999, or is no number, becomes the nearest
/// point in time that can be written.
pub fn rfc3339(unix_ms: f64) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    // A cast of a float stops at the bounds of the integer, and makes 0 of NaN.
    let ms = (unix_ms as u64).min(LAST_MS);
    let seconds = ms / 1_000;
    let (year, month, day) = civil(seconds / 86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        ms % 1_000,
    )
}

/// Turns days since 1970-01-01 into year, month and day.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let in_year = if is_leap(year) { 366 } else { 365 };
        if days < in_year {
            break;
        }
        days -= in_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for in_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < in_month {
            break;
        }
        days -= in_month;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_with_three_digits() {
        for (ms, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789.5, "2000-02-29T12:34:56.789Z"),
            (1_709_251_199_999.75, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000.0, "2024-03-01T00:00:00.000Z"),
            (1_795_383_724_015.0, "2026-11-22T21:42:04.015Z"),
            (1_798_761_599_999.0, "2026-12-31T23:59:59.999Z"),
            (1_798_761_600_000.0, "2027-01-01T00:00:00.000Z"),
            (4_107_542_400_000.0, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn impossible_times_are_still_times() {
        assert_eq!(rfc3339(f64::NAN), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1.0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(f64::INFINITY), "9999-12-31T23:59:59.999Z");
    }
}
