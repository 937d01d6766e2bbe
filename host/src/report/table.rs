//! The one table of the summary: rows of counts and times under sections, all
//! in the same columns.

use anstyle::Style;

use super::text::{count, number, percent_of, shorten_middle, width, wrap};
use super::{Palette, paint};
use crate::stats::Distribution;

/// A column of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Count,
    Failed,
    PerSecond,
    Min,
    Mean,
    Median,
    P90,
    P95,
    P99,
    P999,
    Max,
}

impl Column {
    const ALL: [(Self, &str); 11] = [
        (Self::Count, "count"),
        (Self::Failed, "fail %"),
        (Self::PerSecond, "/s"),
        (Self::Min, "min"),
        (Self::Mean, "mean"),
        (Self::Median, "median"),
        (Self::P90, "p90"),
        (Self::P95, "p95"),
        (Self::P99, "p99"),
        (Self::P999, "p99.9"),
        (Self::Max, "max"),
    ];
    /// What is left out where there is not room for all, the first one first.
    const DISPENSABLE: [Self; 4] = [Self::Min, Self::Mean, Self::P90, Self::P999];
    /// What is left out before a label of the host's is shortened.
    const LAST_RESORT: [Self; 2] = [Self::PerSecond, Self::P99];
}

/// Below this a name is not shortened for the sake of another column.
const NAME_WIDTH: usize = 24;
/// Between two columns.
const GAP: usize = 2;

/// A row of figures. What does not apply is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// What the figures are of.
    pub(super) name: String,
    /// Whether the name is a word of the host's, which is never shortened.
    pub(super) is_label: bool,
    /// How many there were.
    pub(super) count: Option<u64>,
    /// How many of them failed.
    pub(super) failures: Option<u64>,
    /// How many a second.
    pub(super) per_s: Option<f64>,
    /// Their times, in milliseconds.
    pub(super) times: Distribution,
}

impl Row {
    fn cell(&self, column: Column) -> String {
        let [p90, p95, p99, p999] = self.times.quantiles;
        let time = |millis| {
            if self.times.count == 0 {
                "-".to_owned()
            } else {
                number(millis)
            }
        };
        let or_blank = |text: Option<String>| text.unwrap_or_default();
        match column {
            Column::Count => or_blank(self.count.map(count)),
            Column::Failed => or_blank(
                self.failures
                    .map(|failures| percent_of(failures, self.count.unwrap_or_default())),
            ),
            Column::PerSecond => or_blank(self.per_s.map(number)),
            Column::Min => time(self.times.min),
            Column::Mean => time(self.times.mean),
            Column::Median => time(self.times.median),
            Column::P90 => time(p90),
            Column::P95 => time(p95),
            Column::P99 => time(p99),
            Column::P999 => time(p999),
            Column::Max => time(self.times.max),
        }
    }
}

enum Line {
    Section(String),
    Row(Row),
    Note(String),
}

/// A table in the making.
#[derive(Default)]
pub(super) struct Table(Vec<Line>);

impl Table {
    /// Begins a section.
    pub(super) fn section(&mut self, title: impl Into<String>) {
        self.0.push(Line::Section(title.into()));
    }

    /// Adds a row to the section.
    pub(super) fn row(&mut self, row: Row) {
        self.0.push(Line::Row(row));
    }

    /// Adds a remark to the section.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.0.push(Line::Note(text.into()));
    }

    /// Renders the table in `columns` columns, its column titles in the line of
    /// the first section.
    pub(super) fn render(&self, columns: usize, palette: Palette) -> Vec<String> {
        let rows = || {
            self.0.iter().filter_map(|line| match line {
                Line::Row(row) => Some(row),
                _ => None,
            })
        };
        // The first section's title shares its line with the columns'.
        let first_title = self.0.iter().find_map(|line| match line {
            Line::Section(title) => Some(width(title)),
            _ => None,
        });
        let longest_name = rows()
            .map(|row| width(&row.name) + 2)
            .chain(first_title)
            .max()
            .unwrap_or_default();
        let longest_label = rows()
            .filter(|row| row.is_label)
            .map(|row| width(&row.name) + 2)
            .chain(first_title)
            .max()
            .unwrap_or_default();
        let mut shown: Vec<(Column, &str, usize)> = Column::ALL
            .into_iter()
            .map(|(column, title)| {
                let widest = rows().map(|row| width(&row.cell(column))).max();
                (column, title, widest.unwrap_or_default().max(width(title)))
            })
            .collect();
        let taken = |shown: &[(Column, &str, usize)]| {
            shown.iter().map(|(_, _, width)| width + GAP).sum::<usize>()
        };
        for dispensable in Column::DISPENSABLE {
            if taken(&shown) + longest_name.min(NAME_WIDTH) > columns {
                shown.retain(|(column, ..)| *column != dispensable);
            }
        }
        for dispensable in Column::LAST_RESORT {
            if taken(&shown) + longest_label > columns {
                shown.retain(|(column, ..)| *column != dispensable);
            }
        }
        let titles: String = shown
            .iter()
            .filter(|_| rows().next().is_some())
            .map(|(_, title, width)| format!("{title:>0$}", width + GAP))
            .collect();
        // As narrow as the names allow, so that the eye finds the row's figures.
        let name_width = longest_name.min(columns.saturating_sub(taken(&shown)));
        let mut lines = Vec::new();
        for line in &self.0 {
            match line {
                Line::Section(title) if lines.is_empty() => {
                    let title = shorten_middle(title, name_width);
                    lines.push(paint(
                        palette.title,
                        format!("{title:<name_width$}{titles}"),
                    ));
                }
                Line::Section(title) => {
                    lines.push(String::new());
                    lines.push(paint(palette.title, shorten_middle(title, columns)));
                }
                Line::Note(text) => {
                    let wrapped = wrap(text, columns - 4, 3).into_iter().enumerate();
                    lines.extend(wrapped.map(|(at, part)| match at {
                        0 => format!("  {part}"),
                        _ => format!("    {part}"),
                    }));
                }
                Line::Row(row) => {
                    let name = shorten_middle(&row.name, name_width.saturating_sub(2));
                    let mut text = format!("  {name:<0$}", name_width.saturating_sub(2));
                    for (column, _, width) in &shown {
                        let cell = format!("{:>1$}", row.cell(*column), width + GAP);
                        let style = if *column == Column::Failed && row.failures > Some(0) {
                            palette.bad
                        } else {
                            Style::new()
                        };
                        text += &paint(style, cell);
                    }
                    lines.push(text.trim_end().to_owned());
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widest figures that a run can come to.
    fn enormous(name: &str, is_label: bool) -> Row {
        let time = 8_640_000.0;
        Row {
            name: name.to_owned(),
            is_label,
            count: Some(99_999_999_999),
            failures: Some(33_333_333_333),
            per_s: Some(1_234_567.0),
            times: Distribution {
                count: 99_999_999_999,
                min: time,
                mean: time,
                median: time,
                quantiles: [time; 4],
                max: time,
            },
        }
    }

    #[test]
    fn a_label_is_never_shortened_whatever_the_figures() {
        let name = "GET /a/very/long/name/of/an/endpoint/without/an/end";
        let mut table = Table::default();
        table.section("Requests, times in ms");
        table.row(enormous(name, false));
        for label in ["all requests", "all, from due", "TLS handshake"] {
            table.row(enormous(label, true));
        }
        for columns in [80, 100, 140] {
            let lines = table.render(columns, Palette::PLAIN);
            let text = lines.join("\n");
            for label in [
                "Requests, times in ms ",
                "  all, from due ",
                "  TLS handshake ",
            ] {
                assert!(text.contains(label), "{text}");
            }
            for line in &lines {
                assert!(
                    width(line) <= columns,
                    "{} > {columns}: {line}",
                    width(line)
                );
            }
            assert!(text.contains("median") && text.contains("max"), "{text}");
        }
    }
}
