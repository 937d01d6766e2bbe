//! The live line: how a run stands, in one line.

use std::time::Duration;

use super::shape::bar;
use super::text::{count, counted, number, percent_of, time, width};
use super::{Palette, paint};
use crate::run::{Live, Phase};

/// The line for a terminal: never wider than `columns`, with a bar if the end
/// is known and there is room.
pub fn line(live: &Live, columns: usize, palette: Palette) -> String {
    let mut fields = vec![
        Field::plain(Want::Must, clock(live)),
        Field::plain(Want::Vus, vus(live)),
        Field::plain(Want::Must, format!("{}/s", number(live.requests_per_s))),
        Field {
            want: Want::Must,
            style: if live.failures > 0 {
                palette.bad
            } else {
                anstyle::Style::new()
            },
            text: failures(live),
        },
    ];
    if live.requests > 0 {
        fields.push(Field::plain(
            Want::P95,
            format!("p95 {}", time(live.p95_ms)),
        ));
    }
    if let Some(state) = state(live) {
        fields.insert(1, Field::plain(Want::Must, state.to_owned()));
    }
    if let Some(planned) = live.iterations_planned {
        let text = format!("{}/{} iterations", count(live.iterations), count(planned));
        fields.insert(1, Field::plain(Want::Iterations, text));
    }
    if let Some(rate) = live.rate_planned {
        fields.push(Field::plain(Want::Rate, format!("{}/s due", number(rate))));
    }
    if live.iterations_dropped > 0 {
        fields.push(Field {
            want: Want::Dropped,
            style: palette.bad,
            text: dropped(live),
        });
    }
    for unwanted in [
        Want::Rate,
        Want::Iterations,
        Want::Vus,
        Want::P95,
        Want::Dropped,
    ] {
        if total(&fields) > columns {
            fields.retain(|field| field.want != unwanted);
        }
    }
    let room = columns.saturating_sub(total(&fields) + GAP.len());
    if let Some(done) = done(live)
        && live.phase == Phase::Running
        && room >= 10
    {
        let inner = room.min(32) - 2;
        let text = format!("[{:<inner$}]", bar(done, inner));
        fields.insert(1, Field::plain(Want::Must, text));
    }
    let mut line = String::new();
    let mut left = columns;
    for (at, field) in fields.iter().enumerate() {
        let gap = if at == 0 { "" } else { GAP };
        let needed = width(gap) + width(&field.text);
        if needed > left {
            break;
        }
        left -= needed;
        line += gap;
        line += &paint(field.style, &field.text);
    }
    line
}

/// The line for a log: complete, whatever its width.
pub fn plain(live: &Live) -> String {
    let mut fields = vec![clock(live)];
    fields.extend(state(live).map(str::to_owned));
    fields.push(vus(live));
    if let Some(planned) = live.iterations_planned {
        fields.push(format!(
            "{}/{} iterations",
            count(live.iterations),
            count(planned)
        ));
    }
    fields.push(format!(
        "{}, {}/s",
        counted(live.requests, "request", "requests"),
        number(live.requests_per_s)
    ));
    if let Some(rate) = live.rate_planned {
        fields.push(format!("{}/s due", number(rate)));
    }
    fields.push(failures(live));
    if live.iterations_dropped > 0 {
        fields.push(dropped(live));
    }
    if live.requests > 0 {
        fields.push(format!("p95 {}", time(live.p95_ms)));
    }
    fields.join(GAP)
}

const GAP: &str = "  ";

/// What goes first when there is not room for all.
#[derive(PartialEq, Eq)]
enum Want {
    Must,
    Iterations,
    Vus,
    P95,
    Rate,
    Dropped,
}

struct Field {
    want: Want,
    style: anstyle::Style,
    text: String,
}

impl Field {
    fn plain(want: Want, text: String) -> Self {
        Self {
            want,
            style: anstyle::Style::new(),
            text,
        }
    }
}

fn total(fields: &[Field]) -> usize {
    let gaps = GAP.len() * fields.len().saturating_sub(1);
    gaps + fields.iter().map(|field| width(&field.text)).sum::<usize>()
}

fn clock(live: &Live) -> String {
    match live.planned {
        Some(planned) => format!("{}/{}", minutes(live.elapsed), minutes(planned)),
        None => minutes(live.elapsed),
    }
}

/// `01:05`, or `1:01:05`.
pub(super) fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn vus(live: &Live) -> String {
    // Of an open model there are as many as it takes.
    if live.rate_planned.is_some() {
        return counted(u64::from(live.vus), "VU", "VUs");
    }
    let of = counted(u64::from(live.vus_planned), "VU", "VUs");
    if live.vus == live.vus_planned {
        of
    } else {
        format!("{}/{of}", count(u64::from(live.vus)))
    }
}

fn failures(live: &Live) -> String {
    match live.failures {
        0 => "0 failed".to_owned(),
        failures => format!(
            "{} failed ({} %)",
            count(failures),
            percent_of(failures, live.requests)
        ),
    }
}

fn dropped(live: &Live) -> String {
    format!("{} dropped", count(live.iterations_dropped))
}

fn state(live: &Live) -> Option<&'static str> {
    match live.phase {
        Phase::Starting => Some("starting"),
        Phase::Running if live.paused => Some("paused"),
        Phase::Running => None,
        Phase::Stopping => Some("stopping"),
        Phase::Finishing => Some("finishing"),
    }
}

/// How much of the run is done, from 0 to 1, if its end is known.
fn done(live: &Live) -> Option<f64> {
    let by_time = live.planned.filter(|planned| !planned.is_zero());
    let by_time = by_time.map(|planned| live.elapsed.as_secs_f64() / planned.as_secs_f64());
    let by_count = live.iterations_planned.filter(|planned| *planned > 0);
    let by_count = by_count.map(|planned| live.iterations as f64 / planned as f64);
    match (by_time, by_count) {
        (Some(time), Some(count)) => Some(time.max(count).min(1.0)),
        (time, count) => time.or(count).map(|done| done.min(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn running() -> Live {
        Live {
            phase: Phase::Running,
            elapsed: Duration::from_millis(15_300),
            vus: 50,
            paused: false,
            vus_planned: 50,
            rate_planned: None,
            planned: Some(Duration::from_secs(60)),
            iterations: 2_048,
            iterations_planned: None,
            iterations_dropped: 0,
            requests: 12_345,
            requests_per_s: 1_234.5,
            failures: 26,
            p95_ms: 312.2,
        }
    }

    #[test]
    fn the_line_says_how_the_run_stands() {
        assert_eq!(
            line(&running(), 80, Palette::PLAIN),
            "00:15/01:00  [████▏           ]  50 VUs  1,235/s  26 failed (0.21 %)  p95 312 ms"
        );
    }

    #[test]
    fn a_run_by_iterations_shows_them() {
        let live = Live {
            planned: None,
            iterations_planned: Some(4_096),
            failures: 0,
            ..running()
        };
        assert_eq!(
            line(&live, 100, Palette::PLAIN),
            "00:15  [██████████████              ]  2,048/4,096 iterations  50 VUs  1,235/s  0 failed  p95 312 ms"
        );
    }

    #[test]
    fn a_log_gets_the_whole_line() {
        let live = Live {
            phase: Phase::Stopping,
            vus: 12,
            ..running()
        };
        assert_eq!(
            plain(&live),
            "00:15/01:00  stopping  12/50 VUs  12,345 requests, 1,235/s  26 failed (0.21 %)  p95 312 ms"
        );
    }

    #[test]
    fn a_pause_is_told() {
        let live = Live {
            paused: true,
            vus: 3,
            ..running()
        };
        assert!(line(&live, 100, Palette::PLAIN).contains("paused  3/50 VUs"));
        assert!(plain(&live).contains("  paused  3/50 VUs  "));
    }

    #[test]
    fn only_failures_have_colour() {
        let plain = line(&running(), 100, Palette::PLAIN);
        let coloured = line(&running(), 100, Palette::COLOURED);
        assert_eq!(coloured.matches('\x1b').count(), 2 + 1, "{coloured:?}");
        assert!(!plain.contains('\x1b'));
    }

    proptest! {
        #[test]
        fn the_line_is_never_wider_than_the_terminal(
            columns in 5usize..150,
            seconds in 0u64..1_000_000,
            planned in prop::option::of(0u64..1_000_000),
            requests in 0u64..u64::MAX / 2,
            p95_ms in 0f64..1e9,
            by_count in prop::option::of(0u64..1_000_000),
        ) {
            let live = Live {
                elapsed: Duration::from_secs(seconds),
                planned: planned.map(Duration::from_secs),
                iterations_planned: by_count,
                requests,
                failures: requests / 3,
                p95_ms,
                ..running()
            };
            prop_assert!(width(&line(&live, columns, Palette::PLAIN)) <= columns);
        }
    }
}
