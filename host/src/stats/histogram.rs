//! One distribution: counts in buckets, with an exact count, sum, minimum and
//! maximum beside them.
//!
//! Times are kept in whole microseconds and reported in milliseconds. The
//! buckets are those of an HDR histogram with three significant digits: one for
//! each value up to 2,048, from there on 1,024 for each power of two, so that a
//! percentile is off by at most 0.1 %. Unlike there, buckets exist in pages,
//! and a page only once it counts something: a run keeps several histograms
//! for each name on each thread, most of them empty or narrow.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wire::{Packed, read_number, write_number};

/// The quantiles that are reported everywhere, in ascending order.
pub const QUANTILES: [f64; 4] = [0.9, 0.95, 0.99, 0.999];

/// A mergeable distribution of non-negative numbers.
///
/// Recording costs a few nanoseconds, and allocates only where no value has
/// been near before. An empty one takes no memory beside itself.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// By the number of the bucket: its page, and its place there.
    pages: Vec<Option<Box<Page>>>,
    count: u64,
    sum: f64,
    min: u64,
    max: u64,
}

/// Buckets side by side.
type Page = [u64; PAGE];

/// How many buckets a page has.
const PAGE: usize = 32;

/// Each power of two beyond the single values has `1 << PRECISION` buckets.
const PRECISION: u32 = 10;

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    // Drops the digits beyond the precision, if there are any.
    let dropped = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION + 1);
    ((dropped as usize) << PRECISION) + (value >> dropped) as usize
}

/// The largest value of a bucket.
fn top(bucket: usize) -> u64 {
    let dropped = (bucket >> PRECISION).saturating_sub(1);
    let kept = bucket - (dropped << PRECISION);
    ((kept as u64 + 1) << dropped) - 1
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            count: 0,
            sum: 0.0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Histogram {
    /// The largest value that can be told from its neighbours; larger ones
    /// count as this.
    const CEILING: u64 = u64::MAX >> 2;

    /// Records a time, rounded to whole microseconds.
    pub fn record(&mut self, time: Duration) {
        let micros = (time.as_nanos() + 500) / 1000;
        self.record_value(u64::try_from(micros).unwrap_or(Self::CEILING));
    }

    /// Records a number in the histogram's own unit.
    pub fn record_value(&mut self, value: u64) {
        let value = value.min(Self::CEILING);
        let bucket = bucket(value);
        self.page(bucket / PAGE)[bucket % PAGE] += 1;
        self.count += 1;
        self.sum += value as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn page(&mut self, number: usize) -> &mut Page {
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        self.pages[number].get_or_insert_with(|| Box::new([0; PAGE]))
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (number, page) in other.pages.iter().enumerate() {
            if let Some(page) = page {
                let ours = self.page(number);
                for (ours, theirs) in ours.iter_mut().zip(page.iter()) {
                    *ours += theirs;
                }
            }
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The value that a share `quantile` (0 to 1) of the values does not
    /// exceed, in the histogram's own unit; 0 if it is empty.
    pub fn quantile(&self, quantile: f64) -> u64 {
        // The rank of the value that is asked for. A product that is a whole
        // number may come out a little above it.
        let rank = (quantile * self.count as f64 - 1e-6).ceil() as u64;
        let mut left = rank.max(1);
        for (top, count) in self.buckets() {
            if count >= left {
                // The top of a bucket can lie beyond the largest value.
                return top.clamp(self.min, self.max);
            }
            left -= count;
        }
        self.max
    }

    /// Every distinct bucket that holds a value, in ascending order: the top of
    /// the bucket, and how many values it holds.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.pages.iter().enumerate().flat_map(|(number, page)| {
            let counts = page.iter().flat_map(|page| page.iter().enumerate());
            counts
                .filter(|(_, count)| **count > 0)
                .map(move |(place, count)| (top(number * PAGE + place), *count))
        })
    }

    /// The smallest value; 0 if it is empty.
    pub fn min(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.min }
    }

    /// The largest value; 0 if it is empty.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean; 0 if it is empty.
    pub fn mean(&self) -> f64 {
        if self.count() == 0 {
            0.0
        } else {
            self.sum / self.count() as f64
        }
    }

    /// The distribution in numbers, each divided by `unit`.
    pub fn distribution(&self, unit: f64) -> Distribution {
        Distribution {
            count: self.count(),
            min: self.min() as f64 / unit,
            mean: self.mean() / unit,
            median: self.quantile(0.5) as f64 / unit,
            quantiles: QUANTILES.map(|quantile| self.quantile(quantile) as f64 / unit),
            max: self.max() as f64 / unit,
        }
    }

    /// The distribution of recorded times, in milliseconds.
    pub fn times(&self) -> Distribution {
        self.distribution(1e3)
    }
}

/// A histogram on its way: nothing if it is empty.
#[derive(Serialize, Deserialize)]
struct Sent {
    sum: f64,
    min: u64,
    max: u64,
    /// For each bucket that holds something, how many there are between it and
    /// the one before, and what it holds.
    buckets: Packed,
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.count == 0 {
            return serializer.serialize_none();
        }
        let mut buckets = Vec::new();
        let mut next = 0;
        for (number, page) in self.pages.iter().enumerate() {
            let counts = page.iter().flat_map(|page| page.iter().enumerate());
            for (place, count) in counts.filter(|(_, count)| **count > 0) {
                let bucket = number * PAGE + place;
                write_number(&mut buckets, (bucket - next) as u64);
                write_number(&mut buckets, *count);
                next = bucket + 1;
            }
        }
        serializer.serialize_some(&Sent {
            sum: self.sum,
            min: self.min,
            max: self.max,
            buckets: Packed(buckets),
        })
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(sent) = Option::<Sent>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let wrong = || D::Error::custom("what is there is no histogram");
        let last = bucket(Self::CEILING) as u64;
        let mut histogram = Self::default();
        let (mut rest, mut next) = (&sent.buckets.0[..], 0u64);
        while !rest.is_empty() {
            let gap = read_number(&mut rest).ok_or_else(wrong)?;
            let count = read_number(&mut rest).ok_or_else(wrong)?;
            let at = next.checked_add(gap).filter(|at| *at <= last);
            let at = at.ok_or_else(wrong)? as usize;
            histogram.page(at / PAGE)[at % PAGE] = count;
            histogram.count = histogram.count.checked_add(count).ok_or_else(wrong)?;
            next = at as u64 + 1;
        }
        Ok(Self {
            sum: sent.sum,
            min: sent.min,
            max: sent.max,
            ..histogram
        })
    }
}

/// A distribution in numbers: times in milliseconds, or a trend in the unit of
/// the script. All zero if `count` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many values there were.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// The mean, exact.
    pub mean: f64,
    /// The 50th percentile.
    pub median: f64,
    /// The percentiles of [`QUANTILES`].
    pub quantiles: [f64; QUANTILES.len()],
    /// The largest.
    pub max: f64,
}

impl Distribution {
    /// Whether there were no values.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A distribution of any finite numbers, kept to three decimals: a script's
/// trend.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trend {
    positive: Histogram,
    negative: Histogram,
}

impl Trend {
    const SCALE: f64 = 1e3;

    /// Records a finite number.
    pub fn record(&mut self, value: f64) {
        let scaled = (value.abs() * Self::SCALE).round() as u64;
        if value < 0.0 {
            self.negative.record_value(scaled);
        } else {
            self.positive.record_value(scaled);
        }
    }

    /// How many numbers were recorded.
    pub fn count(&self) -> u64 {
        self.negative.count() + self.positive.count()
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
    }

    /// The value that a share `quantile` of the values does not exceed.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let (below, above) = (self.negative.count(), self.positive.count());
        let count = below + above;
        if count == 0 {
            return 0.0;
        }
        let rank = ((quantile * count as f64).ceil()).clamp(1.0, count as f64);
        let value = if rank <= below as f64 {
            // The smallest of the negatives has the largest magnitude. Half a
            // rank keeps the quotient clear of the next one.
            -(self
                .negative
                .quantile((below as f64 - rank + 0.5) / below as f64) as f64)
        } else {
            self.positive
                .quantile((rank - below as f64 - 0.5) / above as f64) as f64
        };
        value / Self::SCALE
    }

    /// The distribution in numbers, in the unit of the script.
    pub fn distribution(&self) -> Distribution {
        if self.negative.count() == 0 {
            return self.positive.distribution(Self::SCALE);
        }
        let (below, above) = (self.negative.count(), self.positive.count());
        let sum = self.positive.sum - self.negative.sum;
        Distribution {
            count: below + above,
            min: -(self.negative.max() as f64) / Self::SCALE,
            mean: sum / (below + above) as f64 / Self::SCALE,
            median: self.quantile(0.5),
            quantiles: QUANTILES.map(|quantile| self.quantile(quantile)),
            max: if above > 0 {
                self.positive.max() as f64
            } else {
                -(self.negative.min() as f64)
            } / Self::SCALE,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact_quantile(sorted: &[u64], quantile: f64) -> u64 {
        let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted[rank - 1]
    }

    proptest! {
        #[test]
        fn it_agrees_with_an_hdr_histogram(
            values in prop::collection::vec(0u64..1 << 40, 1..300),
            rank in any::<prop::sample::Index>(),
        ) {
            let mut histogram = Histogram::default();
            let mut hdr = hdrhistogram::Histogram::<u64>::new(3).expect("three digits");
            for value in &values {
                histogram.record_value(*value);
                hdr.record(*value).expect("it resizes itself");
            }
            prop_assert!(histogram.buckets().eq(hdr
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))));
            // Half a rank from where either rounds its product up.
            let quantile = (rank.index(values.len()) as f64 + 0.5) / values.len() as f64;
            let expected = hdr.value_at_quantile(quantile).clamp(histogram.min(), histogram.max());
            prop_assert_eq!(histogram.quantile(quantile), expected);
        }

        #[test]
        fn a_percentile_is_within_a_thousandth_of_the_exact_one(
            mut values in prop::collection::vec(0u64..10_000_000, 1..400),
        ) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.record_value(*value);
            }
            values.sort_unstable();
            for quantile in [0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
                let exact = exact_quantile(&values, quantile) as f64;
                let found = histogram.quantile(quantile) as f64;
                prop_assert!((found - exact).abs() <= exact * 1e-3 + 1.0, "{found} for {exact}");
            }
            prop_assert_eq!(histogram.min(), values[0]);
            prop_assert_eq!(histogram.max(), *values.last().expect("not empty"));
        }

        #[test]
        fn merged_histograms_equal_one_that_saw_everything(
            left in prop::collection::vec(0u64..5_000_000, 0..200),
            right in prop::collection::vec(0u64..5_000_000, 0..200),
        ) {
            let fill = |values: &[u64]| {
                let mut histogram = Histogram::default();
                values.iter().for_each(|value| histogram.record_value(*value));
                histogram
            };
            let mut merged = fill(&left);
            merged.merge(&fill(&right));
            let whole = fill(&[left, right].concat());
            prop_assert_eq!(merged.count(), whole.count());
            prop_assert!(merged.buckets().eq(whole.buckets()));
            prop_assert_eq!(merged.times(), whole.times());
        }

        #[test]
        fn a_trend_takes_negative_numbers(values in prop::collection::vec(-1e6f64..1e6, 1..200)) {
            let mut trend = Trend::default();
            values.iter().for_each(|value| trend.record(*value));
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let found = trend.distribution();
            let near = |found: f64, exact: f64| (found - exact).abs() <= exact.abs() * 2e-3 + 2e-3;
            prop_assert!(near(found.min, sorted[0]));
            prop_assert!(near(found.max, *sorted.last().expect("not empty")));
            let rank = (0.5 * sorted.len() as f64).ceil() as usize;
            prop_assert!(near(found.median, sorted[rank - 1]), "{} {}", found.median, sorted[rank - 1]);
        }
    }

    #[test]
    fn an_empty_histogram_is_all_zero() {
        assert_eq!(Histogram::default().times(), Distribution::default());
        assert_eq!(Trend::default().distribution(), Distribution::default());
    }

    #[test]
    fn memory_goes_with_what_is_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.pages.capacity(), 0);
        for value in [100_000, 100_001, 2_000_000] {
            histogram.record_value(value);
        }
        assert_eq!(histogram.pages.iter().flatten().count(), 2);
        histogram.record_value(u64::MAX);
        assert_eq!(histogram.max(), Histogram::CEILING);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut next = 0;
        for number in 0..60_000 {
            let top = top(number);
            assert_eq!((bucket(next), bucket(top)), (number, number));
            assert!(top - next <= next / 1024, "{next} to {top}");
            if top >= Histogram::CEILING {
                return;
            }
            next = top + 1;
        }
        panic!("there are {next} values in 60,000 buckets");
    }
}
