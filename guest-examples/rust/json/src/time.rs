//! Points in time, as text.

use crate::digits::{three, two};

/// Writes points in time as RFC 3339, in UTC and with nanoseconds: always 30
/// characters.
///
/// What lies before 1970 or after 9999, or is no number, becomes the nearest
/// point in time that can be written.
#[derive(Debug, Default)]
pub struct Clock {
    /// The last second that was written, in milliseconds since 1970, and how: most
    /// come in a row.
    second_ms: f64,
    text: String,
}

impl Clock {
    /// Appends a point in time, given in milliseconds since 1970.
    pub fn write(&mut self, unix_ms: f64, to: &mut String) {
        let since = (unix_ms - self.second_ms) * 1e6 + 0.5;
        // With what is no number every comparison is false.
        let nanos = if (0.0..1e9).contains(&since) && !self.text.is_empty() {
            since as u32
        } else {
            self.turn_to(unix_ms)
        };
        // Of a length that is known here, so that it is no call into the host.
        to.push_str(&self.text[..WHOLE_SECOND]);
        let nanos = nanos as usize;
        three(nanos / 1_000_000, to);
        three(nanos / 1_000 % 1_000, to);
        three(nanos % 1_000, to);
        to.push('Z');
    }

    /// Writes the second in which a point in time lies. Returns the nanoseconds
    /// since it began.
    fn turn_to(&mut self, unix_ms: f64) -> u32 {
        const LAST_SECOND: u64 = 253_402_300_799;
        let ms = if unix_ms > 0.0 { unix_ms } else { 0.0 };
        // A cast of a float stops at the bounds of the integer, and cuts off.
        let mut seconds = (ms / 1e3) as u64;
        // Never negative but for what rounding leaves; half of it is rounded up.
        let mut nanos = ((ms - seconds as f64 * 1e3) * 1e6 + 0.5) as u32;
        if nanos >= 1_000_000_000 {
            seconds = seconds.saturating_add(1);
            nanos = 0;
        }
        if seconds > LAST_SECOND {
            (seconds, nanos) = (LAST_SECOND, 999_999_999);
        }
        self.second_ms = seconds as f64 * 1e3;
        self.text.clear();
        whole_second(seconds, &mut self.text);
        nanos
    }
}

/// The length of a second and the point behind it.
const WHOLE_SECOND: usize = "1970-01-01T00:00:00.".len();

fn whole_second(seconds: u64, to: &mut String) {
    let (year, month, day) = civil(seconds / 86_400);
    let second = (seconds % 86_400) as usize;
    two(year as usize / 100, to);
    two(year as usize % 100, to);
    for (before, part) in [
        ('-', month as usize),
        ('-', day as usize),
        ('T', second / 3_600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        to.push(before);
        two(part, to);
    }
    to.push('.');
}

/// Turns days since 1970-01-01 into year, month and day.
///
/// Counts in years that begin in March, so that the leap day is the last of its
/// year, and in cycles of 400 years, after which the calendar repeats.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    const DAYS_FROM_MARCH_OF_YEAR_0_TO_1970: u64 = 719_468;

    let days = days + DAYS_FROM_MARCH_OF_YEAR_0_TO_1970;
    let (cycle, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    // Takes out the leap days that have passed, to divide by plain years.
    let leap_days = day / 1_460 - day / 36_524 + day / 146_096;
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, months come in groups of five with 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    fn rfc3339(unix_ms: f64) -> String {
        let mut text = String::new();
        Clock::default().write(unix_ms, &mut text);
        text
    }

    #[test]
    fn a_clock_remembers_nothing_but_the_second() {
        let mut clock = Clock::default();
        for ms in [
            0.0,
            1.5,
            999.0,
            1_000.0,
            999.0,
            61_000.25,
            61_000.5,
            61_999.999_999_9,
            62_000.000_000_1,
            61_999.5,
            f64::NAN,
            -5.0,
            f64::INFINITY,
            0.25,
        ] {
            let mut text = String::new();
            clock.write(ms, &mut text);
            assert_eq!(text, rfc3339(ms));
        }
    }

    #[test]
    fn times_are_written_with_nine_digits() {
        assert_eq!(rfc3339(0.0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_827_696_789.5), "2000-02-29T12:34:56.789500000Z");
        assert_eq!(
            rfc3339(1_709_251_199_999.75),
            "2024-02-29T23:59:59.999750000Z"
        );
        assert_eq!(
            rfc3339(1_709_251_200_000.0),
            "2024-03-01T00:00:00.000000000Z"
        );
        assert_eq!(
            rfc3339(4_107_542_400_000.0),
            "2100-03-01T00:00:00.000000000Z"
        );
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let days_of = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for since_1970 in 0..300_000 {
            assert_eq!(super::civil(since_1970), (year, month, day));
            day += 1;
            if day > days_of(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn impossible_times_are_still_times() {
        assert_eq!(rfc3339(f64::NAN), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(-1.0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(f64::INFINITY), "9999-12-31T23:59:59.999999999Z");
        assert_eq!(rfc3339(1e300), "9999-12-31T23:59:59.999999999Z");
    }
}
