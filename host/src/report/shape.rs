//! The shape of a distribution: a few buckets with bars.

use super::text::{count, number, percent_of, width};
use crate::stats::Histogram;

/// About how many buckets are shown.
const BUCKETS: usize = 12;

/// The distribution of times that were recorded in microseconds, a line for
/// each bucket: its bounds in milliseconds, a bar, its count and its share.
/// Empty if nothing was recorded.
pub(super) fn render(times: &Histogram, columns: usize) -> Vec<String> {
    if times.count() == 0 {
        return Vec::new();
    }
    let edges = edges(times.min() as f64 / 1e3, times.max() as f64 / 1e3);
    let mut counts = vec![0u64; edges.len() - 1];
    for (micros, count) in times.buckets() {
        let millis = micros.min(times.max()) as f64 / 1e3;
        // Bounds are rounded decimals, so a value on one may miss it by a bit.
        let bucket = edges[1..]
            .iter()
            .position(|upper| millis <= upper * (1.0 + 1e-9))
            .unwrap_or(counts.len() - 1);
        counts[bucket] += count;
    }
    let bounds: Vec<_> = edges.iter().map(|edge| number(*edge)).collect();
    let bound_width = bounds.iter().map(|bound| width(bound)).max().unwrap_or(1);
    let largest = counts.iter().copied().max().unwrap_or(1).max(1);
    let count_width = width(&count(largest));
    let bar_width = columns
        .saturating_sub(2 * bound_width + count_width + 2 + " to  ms    100 %".len() + 4)
        .min(50);
    counts
        .iter()
        .enumerate()
        .map(|(bucket, hits)| {
            format!(
                "  {:>bound_width$} to {:>bound_width$} ms  {:<bar_width$}  {:>count_width$}  {:>5} %",
                bounds[bucket],
                bounds[bucket + 1],
                bar(*hits as f64 / largest as f64, bar_width),
                count(*hits),
                percent_of(*hits, times.count()),
            )
        })
        .collect()
}

/// A bar of a share of `columns`, to an eighth of a column. Only nothing has no
/// bar.
pub(super) fn bar(share: f64, columns: usize) -> String {
    const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share * columns as f64 * 8.0).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(PARTS[eighths % 8 - 1]);
    }
    bar
}

/// Round numbers that enclose `min` to `max` in at most [`BUCKETS`] buckets:
/// evenly spaced if they are close together, else in steps that grow.
fn edges(min: f64, max: f64) -> Vec<f64> {
    const GROWING: [&[f64]; 4] = [
        &[1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2],
        &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        &[1.0, 2.0, 5.0],
        &[1.0],
    ];
    let min = min.max(0.001);
    let max = max.max(min);
    if max < min * 3.0 {
        return even_edges(min, max);
    }
    let grown = |steps: &[f64]| {
        let first = min.log10().floor() as i32;
        let last = max.log10().ceil() as i32;
        let all: Vec<f64> = (first..=last)
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .collect();
        let from = all.iter().rposition(|edge| *edge <= min * (1.0 + 1e-9));
        let to = all.iter().position(|edge| *edge >= max * (1.0 - 1e-9));
        match (from, to) {
            (Some(from), Some(to)) if from < to => all[from..=to].to_vec(),
            _ => vec![min, max],
        }
    };
    let mut edges = Vec::new();
    for steps in GROWING {
        edges = grown(steps);
        if edges.len() <= BUCKETS + 1 {
            break;
        }
    }
    edges
}

fn even_edges(min: f64, max: f64) -> Vec<f64> {
    let power = 10f64.powi(((max - min) / BUCKETS as f64).max(1e-3).log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| (max / step).ceil() - (min / step).floor() <= BUCKETS as f64)
        .unwrap_or(power * 20.0);
    let first = (min / step).floor();
    let last = (max / step).ceil().max(first + 1.0);
    (0..=(last - first) as u32)
        .map(|at| (first + f64::from(at)) * step)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_enclose_everything_and_are_few(
            values in prop::collection::vec(0u64..100_000_000, 1..50),
        ) {
            let mut times = Histogram::default();
            values.iter().for_each(|value| times.record_value(*value));
            let lines = render(&times, 80);
            prop_assert!(lines.len() <= BUCKETS + 1, "{lines:#?}");
            prop_assert!(lines.iter().all(|line| width(line) <= 80), "{lines:#?}");
            let shown: u64 = lines
                .iter()
                .map(|line| {
                    let figures: Vec<_> = line.split_whitespace().collect();
                    figures[figures.len() - 3].parse::<u64>().expect("a count")
                })
                .sum();
            prop_assert_eq!(shown, values.len() as u64);
        }

        #[test]
        fn edges_rise_and_enclose(min in 0.001f64..1e4, factor in 1.0f64..1e5) {
            let max = min * factor;
            let edges = edges(min, max);
            prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "{edges:?}");
            prop_assert!(edges[0] <= min * 1.000001, "{edges:?}");
            prop_assert!(edges[edges.len() - 1] >= max * 0.999999, "{edges:?}");
        }
    }

    #[test]
    fn only_nothing_has_no_bar() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(1e-9, 10), "▏");
        assert_eq!(bar(1.0, 3), "███");
        assert_eq!(bar(0.5, 3), "█▌");
    }
}
