//! Numbers and words, as short as they stay exact enough to act on.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A whole number with its thousands marked: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 request`, `2 requests`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number with about three digits: `0.031`, `1.24`, `12.4`, `312`, `1,240`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 { "-" } else { "" };
    let digits = match size {
        0.0 => return "0".to_owned(),
        _ if size < 0.0995 => 3,
        _ if size < 9.995 => 2,
        _ if size < 99.95 => 1,
        _ if size < 1e15 => return format!("{sign}{}", count(size.round() as u64)),
        _ => return format!("{value:.2e}"),
    };
    format!("{sign}{size:.digits$}")
}

/// A time in milliseconds with its unit: `1.24 ms`, `312 ms`, `1.2 s`, `1m30s`.
pub(super) fn time(millis: f64) -> String {
    if millis < 999.5 {
        format!("{} ms", number(millis))
    } else if millis < 59_950.0 {
        format!("{:.1} s", millis / 1e3)
    } else {
        span(Duration::from_millis(millis.max(0.0) as u64))
    }
}

/// A stretch of time: below a second to a millisecond, below a minute to a
/// tenth of a second, above to a second.
pub(super) fn span(duration: Duration) -> String {
    if duration < Duration::from_millis(950) {
        return format!("{}ms", duration.as_millis());
    }
    if duration < Duration::from_millis(59_950) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let seconds = duration.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}m{seconds:02}s"),
        _ => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// A share from 0 to 1 in percent, without the sign. Only all is `100`, and
/// only nothing is `0`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent <= 0.0 => "0".to_owned(),
        _ if percent < 0.005 => "<0.01".to_owned(),
        _ if percent < 9.995 => format!("{percent:.2}"),
        _ if percent >= 100.0 => "100".to_owned(),
        _ if percent > 99.9 => format!("{:.2}", percent.min(99.99)),
        _ => format!("{percent:.1}"),
    }
}

/// Hits of all in percent.
pub(super) fn percent_of(hits: u64, all: u64) -> String {
    percent(if all == 0 {
        0.0
    } else {
        hits as f64 / all as f64
    })
}

/// The date and time of day in UTC: `2026-11-23 03:41:05`.
pub(super) fn date_and_time(unix_ms: f64) -> String {
    timestamp(unix_ms).map_or_else(|| "-".to_owned(), |at| at.strftime("%F %T").to_string())
}

/// The time of day in UTC: `03:41:05`.
pub(super) fn time_of_day(unix_ms: f64) -> String {
    timestamp(unix_ms).map_or_else(|| "-".to_owned(), |at| at.strftime("%T").to_string())
}

fn timestamp(unix_ms: f64) -> Option<jiff::Zoned> {
    let at = Timestamp::from_millisecond(unix_ms as i64).ok()?;
    Some(at.to_zoned(TimeZone::UTC))
}

/// How many columns a text takes, one for each character.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// A text of somebody else's on one line, without the characters that move the
/// cursor, colour the terminal or turn the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let one_line: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !hidden(*c))
        .collect();
    one_line.trim().to_owned()
}

/// The text, cut in the middle if it is wider than `columns`.
pub(super) fn shorten_middle(text: &str, columns: usize) -> String {
    let all: Vec<char> = text.chars().collect();
    if all.len() <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let mut short: String = all[..head].iter().collect();
    short.push('…');
    short.extend(&all[all.len() - tail..]);
    short
}

/// The text, cut at its end if it is wider than `columns`.
pub(super) fn shorten_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The text in at most `lines` lines of at most `columns`, broken between
/// words where there are any; what does not fit is cut at the end.
pub(super) fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut wrapped = Vec::new();
    let mut rest = text.trim();
    while width(rest) > columns && wrapped.len() + 1 < lines {
        let limit = rest
            .char_indices()
            .nth(columns)
            .map_or(rest.len(), |(at, _)| at);
        // A space right after the last column is a fine place to break, too.
        let break_at = rest[..limit + usize::from(rest[limit..].starts_with(' '))]
            .rfind(' ')
            .filter(|at| *at > limit / 2)
            .unwrap_or(limit);
        wrapped.push(rest[..break_at].trim_end().to_owned());
        rest = rest[break_at..].trim_start();
    }
    wrapped.push(shorten_end(rest, columns));
    wrapped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_about_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.031, "0.031"),
            (0.31, "0.31"),
            (1.239, "1.24"),
            (9.999, "10.0"),
            (12.44, "12.4"),
            (99.97, "100"),
            (312.4, "312"),
            (1240.0, "1,240"),
            (-1234567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (millis, text) in [
            (1.239, "1.24 ms"),
            (312.0, "312 ms"),
            (999.7, "1.0 s"),
            (1_240.0, "1.2 s"),
            (59_999.0, "1m00s"),
            (3_725_000.0, "1h02m05s"),
        ] {
            assert_eq!(time(millis), text);
        }
    }

    #[test]
    fn nearly_all_is_not_all_and_nearly_nothing_is_not_nothing() {
        assert_eq!(percent_of(99_999, 100_000), "99.99");
        assert_eq!(percent_of(999_999, 1_000_000), "99.99");
        assert_eq!(percent_of(1, 1_000_000), "<0.01");
        assert_eq!(percent_of(0, 0), "0");
        assert_eq!(percent_of(5, 5), "100");
        assert_eq!(percent_of(1, 8), "12.5");
    }

    #[test]
    fn others_cannot_write_to_the_terminal() {
        assert_eq!(clean("\x1b[31mred\nline\r\u{202e}"), "[31mred line");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_it_may_be(text in "\\PC{0,80}", columns in 2usize..60) {
            prop_assert!(width(&shorten_middle(&text, columns)) <= columns);
            prop_assert!(width(&shorten_end(&text, columns)) <= columns);
            let lines = wrap(&text, columns, 3);
            prop_assert!(lines.len() <= 3);
            prop_assert!(lines.iter().all(|line| width(line) <= columns), "{lines:?}");
        }

        #[test]
        fn wrapping_with_room_loses_no_word(text in "[a-z]{1,9}( [a-z]{1,9}){0,12}") {
            let joined: Vec<String> = wrap(&text, 20, 99);
            prop_assert_eq!(joined.join(" "), text);
        }
    }
}
