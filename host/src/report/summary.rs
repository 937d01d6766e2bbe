//! The summary at the end of a run, as text.
//!
//! What somebody needs who was woken by it comes first: did it pass, and if not
//! why; can the figures be trusted; then what was slow or failed, and where;
//! last the details. No line is wider than asked for.

use super::health::{About, doubts, uses};
use super::progress::minutes;
use super::table::{Row, Table};
use super::text::{
    clean, count, counted, date_and_time, number, percent, percent_of, shorten_end, shorten_middle,
    span, time, time_of_day, width, wrap,
};
use super::{Palette, paint, shape};
use crate::error::ExitCode;
use crate::event::{Finding, StopReason};
use crate::measure::{DropReason, FailureOrigin, MetricKind};
use crate::plan::threshold::{Aggregate, Shape};
use crate::plan::{ENDLESS, Executor, Plan, Threshold};
use crate::run::{Outcome, WorkerOutcome};
use crate::stats::OTHER;
use crate::stats::groups::NONE;
use crate::stats::window::{
    CheckStats, FailureStats, GroupStats, IterationStats, MetricStats, RequestStats,
    TransactionStats, ValueStats, Window,
};
use crate::units::{Bytes, Pretty};

/// How many rows of a kind are shown; the JSON has them all.
const ROWS: usize = 50;
/// How many distinct failures are shown.
const FAILURES: usize = 20;
/// How many lines of a failure's stack are shown.
const STACK_LINES: usize = 4;

/// The narrowest and the widest that a summary gets.
const COLUMNS: std::ops::RangeInclusive<usize> = 80..=140;

/// Renders the summary for a terminal of `columns`, as far as it makes use of
/// them. Ends with a line break.
pub fn render(outcome: &Outcome, columns: usize, palette: Palette) -> String {
    let mut page = Page {
        columns: columns.clamp(*COLUMNS.start(), *COLUMNS.end()),
        palette,
        lines: Vec::new(),
    };
    page.verdict(outcome);
    page.health(outcome);
    page.workers(&outcome.workers);
    page.figures(&outcome.summary.stats.total);
    page.failures(&outcome.summary.stats.total);
    page.checks(&outcome.summary.stats.total.checks);
    page.metrics(&outcome.summary.stats.total.metrics);
    page.shape(outcome);
    page.steering(outcome);
    page.footer(outcome);
    let mut text = page.lines.join("\n");
    text.push('\n');
    text
}

/// What became of a worker, in a line.
fn worker_line(worker: &WorkerOutcome) -> String {
    let share = match worker.share.map(<(u32, u32)>::from) {
        Some((index, of)) => format!("share {} of {of}", index + 1),
        None => "no share of its own".to_owned(),
    };
    let mut parts = vec![format!(
        "{}: {share}, {}",
        clean(&worker.name),
        counted(worker.requests, "request", "requests")
    )];
    if let Some(health) = &worker.health {
        if health.cpu_is_known {
            parts.push(format!("CPU at most {} %", number(health.cpu_max_percent)));
        }
        parts.push(format!(
            "lag {}",
            time(health.scheduler_lag_max.as_secs_f64() * 1e3)
        ));
    }
    if let Some(clock) = worker.clock {
        parts.push(format!(
            "clock {}{} ± {}",
            if clock.offset_ms < 0.0 { "-" } else { "+" },
            time(clock.offset_ms.abs()),
            time(clock.error_ms)
        ));
    }
    match (&worker.lost, worker.returns) {
        (Some((after, why)), _) => {
            parts.push(format!("LOST after {}: {}", span(*after), clean(why)));
            parts.push(match worker.told {
                Some(told) => format!("what it did after {} is not counted", span(told)),
                None => "nothing of what it did is counted".to_owned(),
            });
        }
        (None, 0) => {}
        (None, 1) => parts.push("was lost once, and came back with all it measured".to_owned()),
        (None, times) => parts.push(format!(
            "was lost {times} times, and came back with all it measured"
        )),
    }
    parts.join(" · ")
}

/// The verdict alone, with the thresholds that failed: what `--quiet` leaves of
/// a run that did not pass.
pub fn verdict(outcome: &Outcome, columns: usize, palette: Palette) -> String {
    let mut page = Page {
        columns: columns.clamp(*COLUMNS.start(), *COLUMNS.end()),
        palette,
        lines: Vec::new(),
    };
    let (_, text) = headline(outcome);
    page.text(palette.bad, &text);
    for row in threshold_rows(outcome) {
        if !row.passed {
            page.text(palette.bad, &format!("  ✗ {}: {}", row.text, row.value));
        }
    }
    let mut text = page.lines.join("\n");
    text.push('\n');
    text
}

struct Page {
    columns: usize,
    palette: Palette,
    lines: Vec<String>,
}

impl Page {
    /// A line, cut if it is too wide.
    fn text(&mut self, style: anstyle::Style, text: &str) {
        self.lines
            .push(paint(style, shorten_end(text, self.columns)));
    }

    fn plain(&mut self, text: &str) {
        self.text(anstyle::Style::new(), text);
    }

    fn title(&mut self, text: &str) {
        self.lines.push(String::new());
        self.text(self.palette.title, text);
    }

    /// Words, broken into lines of which all but the first are indented.
    fn words(&mut self, style: anstyle::Style, first: &str, text: &str, lines: usize) {
        let indent = " ".repeat(width(first));
        for (at, line) in wrap(text, self.columns - width(first), lines)
            .into_iter()
            .enumerate()
        {
            let lead = if at == 0 { first } else { &indent };
            self.lines.push(paint(style, format!("{lead}{line}")));
        }
    }

    /// Short texts joined by dots, as many on a line as fit.
    fn joined(&mut self, texts: &[String]) {
        const DOT: &str = " · ";
        let mut line = String::new();
        for text in texts {
            if line.is_empty() {
                line = format!("  {text}");
            } else if width(&line) + width(DOT) + width(text) <= self.columns {
                line = line + DOT + text;
            } else {
                self.plain(&std::mem::take(&mut line));
                line = format!("  {text}");
            }
        }
        if !line.is_empty() {
            self.plain(&line);
        }
    }

    fn verdict(&mut self, outcome: &Outcome) {
        let (mood, text) = headline(outcome);
        let style = mood.style(self.palette);
        self.words(style, "", &text, 3);
        let total = &outcome.summary.stats.total;
        let load = load(&outcome.plan);
        let ended_ms = outcome.started_ms + total.duration.as_secs_f64() * 1e3;
        let mut facts = vec![
            shorten_middle(&clean(&outcome.plan.test_plan), 40),
            load,
            format!(
                "{} to {} UTC ({})",
                date_and_time(outcome.started_ms),
                time_of_day(ended_ms),
                span(total.duration)
            ),
        ];
        if total.all.requests > 0 {
            facts.push(format!(
                "{}, {}/s",
                counted(total.all.requests, "request", "requests"),
                number(total.all.requests_per_s)
            ));
            facts.push(format!(
                "{} failed ({} %)",
                count(total.all.failures),
                percent_of(total.all.failures, total.all.requests)
            ));
        } else {
            facts.push("no request was sent".to_owned());
        }
        self.joined(&facts);

        self.changes(outcome);

        let rows = threshold_rows(outcome);
        if rows.is_empty() {
            return;
        }
        self.title("Thresholds");
        let text_width = rows.iter().map(|row| width(&row.text)).max().unwrap_or(0);
        let value_width = rows.iter().map(|row| width(&row.value)).max().unwrap_or(0);
        let text_width = text_width.min(self.columns.saturating_sub(value_width + 6));
        for row in rows {
            let (mark, style) = if row.passed {
                ("✓", self.palette.good)
            } else {
                ("✗", self.palette.bad)
            };
            let text = shorten_middle(&row.text, text_width);
            self.lines.push(format!(
                "  {} {text:<text_width$}  {:>value_width$}",
                paint(style, mark),
                row.value
            ));
        }
    }

    /// A result is not that of its plan once somebody has changed the load.
    fn changes(&mut self, outcome: &Outcome) {
        if outcome.load_changes.is_empty() {
            return;
        }
        let changes = outcome.load_changes.iter().map(|(elapsed, change)| {
            let at = minutes(*elapsed);
            format!("{at} {} ({})", clean(&change.to_string()), change.by)
        });
        let text = changes.collect::<Vec<_>>().join("; ");
        self.words(self.palette.doubtful, "  changed by hand: ", &text, 6);
    }

    fn health(&mut self, outcome: &Outcome) {
        let doubts = doubts(outcome);
        if doubts.is_empty() {
            self.title(if outcome.health.cpu_is_known {
                "Load generator: fine, the figures can be trusted"
            } else {
                "Load generator: the run was too short to see what it used"
            });
        } else {
            self.lines.push(String::new());
            let headline = if doubts.iter().any(|doubt| doubt.about == About::Figures) {
                "Load generator: the figures are in doubt"
            } else {
                "Load generator: the figures can be trusted, but the telemetry is incomplete"
            };
            self.text(self.palette.doubtful, headline);
            for doubt in &doubts {
                self.words(anstyle::Style::new(), "  ! ", &doubt.text, 3);
            }
        }
        self.joined(&uses(outcome));
        for warning in &outcome.warnings {
            self.words(anstyle::Style::new(), "  warning: ", &clean(warning), 3);
        }
    }

    /// A line for each worker, those first that were lost.
    fn workers(&mut self, workers: &[WorkerOutcome]) {
        if workers.is_empty() {
            return;
        }
        let lost = workers
            .iter()
            .filter(|worker| worker.lost.is_some())
            .count();
        self.title(&match lost {
            0 => format!("Workers: {}", workers.len()),
            lost => format!("Workers: {}, of which {lost} lost", workers.len()),
        });
        let mut shown: Vec<_> = workers.iter().collect();
        shown.sort_by_key(|worker| worker.lost.is_none());
        for worker in shown.iter().take(ROWS) {
            let style = match worker.lost {
                Some(_) => self.palette.bad,
                None => anstyle::Style::new(),
            };
            self.words(style, "  ", &worker_line(worker), 2);
        }
        if shown.len() > ROWS {
            self.plain(&format!("  and {} more", shown.len() - ROWS));
        }
    }

    fn figures(&mut self, total: &Window) {
        let mut table = Table::default();
        requests(&mut table, total);
        groups(&mut table, total);
        transactions(&mut table, total);
        phases(&mut table, &total.all);
        iterations(&mut table, total);
        self.lines.push(String::new());
        self.lines.extend(table.render(self.columns, self.palette));
        self.statuses(&total.all);
    }

    fn statuses(&mut self, all: &RequestStats) {
        if all.statuses.iter().all(|(status, _)| *status == 200) {
            return;
        }
        self.title("Answers by status");
        let rows: Vec<_> = all
            .statuses
            .iter()
            .map(|(status, hits)| match status {
                0 => format!("none: {}", count(*hits)),
                status => format!("{status}: {}", count(*hits)),
            })
            .collect();
        self.joined(&rows);
    }

    fn failures(&mut self, total: &Window) {
        if total.failures.is_empty() {
            return;
        }
        self.title(&format!(
            "Failures, {} distinct",
            count(total.failures.len() as u64)
        ));
        let shown = &total.failures[..total.failures.len().min(FAILURES)];
        let digits = shown
            .iter()
            .map(|failure| width(&count(failure.occurrences)))
            .max()
            .unwrap_or(1);
        for failure in shown {
            self.failure(failure, digits);
        }
        self.rest(total.failures.len(), FAILURES, "failures");
        if is_unanswered(&total.all) {
            self.words(
                anstyle::Style::new(),
                "  ",
                "hint: no request was answered: see whether the server is up, and whether \
                 `--base-url` and the script say where it is",
                4,
            );
        }
    }

    fn failure(&mut self, failure: &FailureStats, digits: usize) {
        let name = clean(&failure.name);
        let of = match failure.origin {
            FailureOrigin::Request => with_method(&failure.method, &name),
            FailureOrigin::Transaction => format!("transaction {name}"),
            FailureOrigin::Script => "script".to_owned(),
        };
        let of = shorten_middle(&of, self.columns / 2);
        let occurrences = count(failure.occurrences);
        let lead = format!("  {occurrences:>digits$}× ");
        let message = clean(&failure.message);
        let (first, last) = (
            time_of_day(failure.first_seen_ms),
            time_of_day(failure.last_seen_ms),
        );
        let when = if failure.occurrences == 1 || first == last {
            format!("(at {first})")
        } else {
            format!("({first} to {last})")
        };
        self.words(
            anstyle::Style::new(),
            &lead,
            &format!("{of}: {message} {when}"),
            4,
        );
        if let Some(stack) = &failure.stack {
            let indent = " ".repeat(width(&lead) + 2);
            let mut frames = stack.lines().filter(|line| !line.trim().is_empty());
            for frame in frames.by_ref().take(STACK_LINES) {
                self.plain(&format!("{indent}{}", clean(frame)));
            }
            let left = frames.count();
            if left > 0 {
                self.plain(&format!("{indent}… {left} more"));
            }
        }
    }

    fn checks(&mut self, checks: &[CheckStats]) {
        if checks.is_empty() {
            return;
        }
        let failing = checks.iter().filter(|check| check.failures > 0).count();
        let title = match failing {
            0 => "Checks, all held".to_owned(),
            _ => format!(
                "Checks, {} of {} did not always hold",
                count(failing as u64),
                count(checks.len() as u64)
            ),
        };
        self.title(&title);
        // Those that need a look first, each group by name.
        let mut sorted: Vec<_> = checks.iter().collect();
        sorted.sort_by_key(|check| check.failures == 0);
        sorted.truncate(ROWS);
        let rows: Vec<_> = sorted
            .into_iter()
            .map(|check| {
                let held = percent_of(check.passes, check.passes + check.failures);
                let figures = match check.failures {
                    0 => format!("{held} % of {}", count(check.passes)),
                    failures => format!(
                        "{held} % of {}, {} failed",
                        count(check.passes + failures),
                        count(failures)
                    ),
                };
                (check.failures == 0, clean(&check.name), figures)
            })
            .collect();
        let names = rows.iter().map(|(_, name, _)| width(name)).max();
        let figures = rows.iter().map(|(.., figures)| width(figures)).max();
        let name_width = names
            .unwrap_or(0)
            .min(self.columns - 6 - figures.unwrap_or(0));
        for (held, name, figures) in rows {
            let (mark, style) = if held {
                ("✓", self.palette.good)
            } else {
                ("✗", self.palette.bad)
            };
            let name = shorten_middle(&name, name_width);
            self.lines.push(format!(
                "  {} {name:<name_width$}  {figures}",
                paint(style, mark)
            ));
        }
        self.rest(checks.len(), ROWS, "checks");
    }

    fn metrics(&mut self, metrics: &[MetricStats]) {
        if metrics.is_empty() {
            return;
        }
        self.title("Metrics of the script");
        let rows: Vec<_> = metrics
            .iter()
            .take(ROWS)
            .map(|metric| (clean(&metric.name), metric_figures(metric)))
            .collect();
        let names = rows.iter().map(|(name, _)| width(name)).max();
        let name_width = names.unwrap_or(0).min(self.columns / 3);
        for (name, figures) in rows {
            let name = shorten_middle(&name, name_width);
            self.plain(&format!("  {name:<name_width$}  {figures}"));
        }
        self.rest(metrics.len(), ROWS, "metrics");
    }

    /// What the component found out that said how much load there was.
    fn steering(&mut self, outcome: &Outcome) {
        let Some(shape) = &outcome.shape else { return };
        let report = &shape.report;
        if report.findings.is_empty() && report.failure.is_none() {
            return;
        }
        self.title(&format!("Shape {}", clean(&report.shape)));
        if let Some(failure) = &report.failure {
            self.words(self.palette.bad, "  failed: ", &clean(failure), STACK_LINES);
        }
        let rows = report.findings.iter().take(ROWS);
        let rows: Vec<_> = rows
            .map(|(name, finding)| (shorten_end(&clean(name), 24), said(finding)))
            .collect();
        let column = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        for (name, value) in &rows {
            let lead = format!("  {name}{}  ", " ".repeat(column - width(name)));
            self.words(anstyle::Style::new(), &lead, value, STACK_LINES);
        }
        self.rest(report.findings.len(), ROWS, "findings");
    }

    fn shape(&mut self, outcome: &Outcome) {
        let lines = shape::render(&outcome.duration_histogram, self.columns);
        if lines.is_empty() {
            return;
        }
        self.title("Distribution of request times");
        self.lines.extend(lines);
    }

    fn footer(&mut self, outcome: &Outcome) {
        let total = &outcome.summary.stats.total;
        self.lines.push(String::new());
        let mut facts = vec![
            format!("sent {}", Bytes(total.all.sent_bytes)),
            format!("received {}", Bytes(total.all.received_bytes)),
        ];
        for recorder in &outcome.telemetry {
            facts.push(format!(
                "{} by recorder `{}`",
                counted(recorder.entries_written, "log entry", "log entries"),
                shorten_middle(&clean(&recorder.name), 40)
            ));
        }
        facts.push(format!("seed {}", outcome.plan.seed));
        facts.push(format!("run {}", clean(&outcome.run_id)));
        self.joined(&facts);
        // The head may have scrolled away: the verdict once more.
        if self.lines.len() > 30 {
            let (mood, text) = headline(outcome);
            let style = mood.style(self.palette);
            self.lines.push(String::new());
            self.text(style, &text);
        }
    }

    fn rest(&mut self, all: usize, shown: usize, what: &str) {
        if all > shown {
            self.plain(&format!(
                "  … {} more {what}: `--summary FILE` writes them all",
                count((all - shown) as u64)
            ));
        }
    }
}

/// What load was asked for, in words.
fn load(plan: &Plan) -> String {
    let vus = |vus: u32| counted(vus.into(), "VU", "VUs");
    let [scenario] = &*plan.scenarios else {
        return counted(plan.scenarios.len() as u64, "scenario", "scenarios");
    };
    let duration = scenario.executor.duration();
    let time = Pretty(duration);
    if let Some(shape) = &plan.shape {
        let name = clean(&shape.name());
        return match duration < ENDLESS {
            true => format!("the shape {name} for at most {time}"),
            false => format!("the shape {name}"),
        };
    }
    if duration >= ENDLESS {
        return "as many VUs as the master said".to_owned();
    }
    match &scenario.executor {
        Executor::ConstantVus { vus: number, .. } => format!("{} for {time}", vus(number.get())),
        Executor::RampingVus {
            start_vus, stages, ..
        } => {
            let targets = stages.iter().map(|stage| stage.target);
            let most = targets.max().unwrap_or(0).max(*start_vus);
            format!("up to {} for {time}", vus(most))
        }
        Executor::PerVuIterations {
            vus: number,
            iterations,
            ..
        } => format!(
            "{} by each of {}",
            counted(*iterations, "iteration", "iterations"),
            vus(number.get())
        ),
        Executor::SharedIterations {
            vus: number,
            iterations,
            ..
        } => format!(
            "{} by {}",
            counted(*iterations, "iteration", "iterations"),
            vus(number.get())
        ),
        Executor::ConstantArrivalRate { rate, .. } => {
            format!("{rate} for {time}")
        }
        Executor::RampingArrivalRate {
            start_rate, stages, ..
        } => {
            let targets = stages.iter().map(|stage| stage.target);
            let most = targets.fold(*start_rate, |most, rate| {
                if rate.per_s() > most.per_s() {
                    rate
                } else {
                    most
                }
            });
            format!("up to {most} for {time}")
        }
    }
}

/// Something that a shape found out, in words.
fn said(finding: &Finding) -> String {
    match finding {
        Finding::Text(text) => clean(text),
        Finding::Number { value, unit } => {
            let unit = clean(unit);
            let space = match unit.is_empty() || unit.starts_with('/') {
                true => "",
                false => " ",
            };
            format!("{}{space}{unit}", number(*value))
        }
    }
}

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    /// It passed, but for want of anything to judge its failures by.
    Doubtful,
    Bad,
}

impl Mood {
    fn style(self, palette: Palette) -> anstyle::Style {
        match self {
            Self::Good => palette.good,
            Self::Doubtful => palette.doubtful,
            Self::Bad => palette.bad,
        }
    }
}

/// How the run went, and the same in a sentence.
fn headline(outcome: &Outcome) -> (Mood, String) {
    let summary = &outcome.summary;
    let total = &summary.stats.total;
    let code = outcome.exit_code as u8;
    let thresholds = summary.thresholds.len();
    let failed = summary.thresholds.iter().filter(|row| !row.passed).count();
    let detail = match &summary.reason {
        StopReason::Aborted(detail) | StopReason::Other(detail) | StopReason::Threshold(detail)
            if !detail.is_empty() =>
        {
            Some(&**detail)
        }
        _ => outcome.abort_detail.as_deref(),
    };
    let detail = detail.map(|detail| format!(": {}", clean(detail)));
    let detail = detail.unwrap_or_default();
    let ran = span(total.duration);
    let text = match outcome.exit_code {
        ExitCode::Passed => {
            return match (thresholds, &summary.reason) {
                (0, _) if total.all.failures + total.iterations.failed > 0 => (
                    Mood::Doubtful,
                    "! DONE with failures, and no `--threshold` to judge them by".to_owned(),
                ),
                (0, StopReason::Other(_)) => (Mood::Good, format!("✓ DONE after {ran}{detail}")),
                (0, _) => (
                    Mood::Good,
                    "✓ DONE without failures (no `--threshold` was given)".to_owned(),
                ),
                (1, _) => (Mood::Good, "✓ PASSED, the threshold holds".to_owned()),
                (_, _) => (
                    Mood::Good,
                    format!("✓ PASSED, all {thresholds} thresholds hold"),
                ),
            };
        }
        ExitCode::ThresholdFailed if matches!(summary.reason, StopReason::Threshold(_)) => {
            format!("✗ FAILED, ended by a threshold after {ran}{detail}")
        }
        ExitCode::ThresholdFailed if thresholds == 1 => {
            format!("✗ FAILED, the threshold does not hold{detail}")
        }
        ExitCode::ThresholdFailed => {
            let of = counted(thresholds as u64, "threshold", "thresholds");
            let verb = if failed == 1 { "does" } else { "do" };
            format!("✗ FAILED, {failed} of {of} {verb} not hold{detail}")
        }
        ExitCode::Interrupted => format!("✗ INTERRUPTED after {ran}{detail}"),
        ExitCode::Aborted => format!("✗ ABORTED by the script after {ran}{detail}"),
        ExitCode::ScriptFailed => format!("✗ THE SCRIPT FAILED{detail}"),
        ExitCode::Incomplete => format!("✗ INCOMPLETE, a part of the result is missing{detail}"),
        ExitCode::Defect | ExitCode::Usage | ExitCode::Invalid => {
            format!("✗ FAILED after {ran}{detail}")
        }
    };
    (Mood::Bad, format!("{text} (exit code {code})"))
}

struct ThresholdRow {
    passed: bool,
    text: String,
    value: String,
}

fn threshold_rows(outcome: &Outcome) -> Vec<ThresholdRow> {
    let verdicts = &outcome.summary.thresholds;
    verdicts
        .iter()
        .map(|verdict| {
            // The unit is the metric's; a verdict has only the text.
            let threshold = Threshold::parse(&verdict.expression).ok();
            ThresholdRow {
                passed: verdict.passed,
                text: clean(&verdict.expression),
                value: match (&verdict.note, verdict.value) {
                    (Some(note), _) => note.clone(),
                    (None, None) => "nothing measured".to_owned(),
                    (None, Some(value)) => match threshold {
                        None => number(value),
                        Some(it) if it.window.is_some() && !verdict.passed => {
                            format!("{} at worst", observed(&it, value))
                        }
                        Some(it) => observed(&it, value),
                    },
                },
            }
        })
        .collect()
}

/// An observed value in the unit of its threshold.
fn observed(threshold: &Threshold, value: f64) -> String {
    let shape = threshold.metric.shape();
    match (shape, threshold.aggregate) {
        // In the script's own unit, whatever it is.
        (None | Some(Shape::Gauge), _) => number(value),
        (_, Aggregate::Count) => count(value as u64),
        (Some(Shape::Counter), _) => format!("{}/s", number(value)),
        (Some(Shape::Rate), _) => format!("{} %", percent(value)),
        (Some(Shape::Trend), _) => time(value),
    }
}

fn with_method(method: &str, name: &str) -> String {
    if method.is_empty() {
        name.to_owned()
    } else {
        format!("{method} {name}")
    }
}

fn requests(table: &mut Table, total: &Window) {
    table.section("Requests, times in ms");
    if total.requests.is_empty() {
        table.note("none");
        return;
    }
    let method_width = total
        .requests
        .iter()
        .map(|row| width(&row.method))
        .max()
        .unwrap_or(0);
    for row in most(&total.requests, |row| row.requests) {
        table.row(Row {
            name: format!("{:<method_width$} {}", row.method, clean(&row.name)),
            ..request_row(row)
        });
    }
    if total.requests.len() > ROWS {
        table.note(format!(
            "… {} more names with fewer requests: `--summary FILE` writes them all",
            count((total.requests.len() - ROWS) as u64)
        ));
    }
    if total.requests.len() > 1 {
        table.row(Row {
            name: "all requests".to_owned(),
            is_label: true,
            ..request_row(&total.all)
        });
    }
    if total.all.from_due.count > 0 {
        table.row(Row {
            name: "all, from due".to_owned(),
            is_label: true,
            count: Some(total.all.from_due.count),
            times: total.all.from_due,
            ..Row::default()
        });
    }
}

fn request_row(row: &RequestStats) -> Row {
    Row {
        count: Some(row.requests),
        failures: Some(row.failures),
        per_s: Some(row.requests_per_s),
        times: row.duration,
        ..Row::default()
    }
}

/// Requests by the values of each tag that the run is grouped by.
fn groups(table: &mut Table, total: &Window) {
    for GroupStats { tag, values } in &total.groups {
        table.section(format!("Requests by {}", clean(tag)));
        if values.is_empty() {
            table.note("none");
        }
        for row in most(values, |row| row.requests) {
            table.row(Row {
                name: value_name(row),
                is_label: is_label(row),
                count: Some(row.requests),
                failures: Some(row.failures),
                per_s: Some(row.requests_per_s),
                times: row.duration,
            });
            if row.from_due.count > 0 {
                table.row(Row {
                    name: "  from due".to_owned(),
                    is_label: true,
                    count: Some(row.from_due.count),
                    times: row.from_due,
                    ..Row::default()
                });
            }
        }
        if values.len() > ROWS {
            table.note(format!(
                "… {} more values with fewer requests: `--summary FILE` writes them all",
                count((values.len() - ROWS) as u64)
            ));
        }
    }
}

/// The value of a tag as it is shown. An empty one is a value, too.
fn value_name(row: &ValueStats) -> String {
    match &*row.value {
        "" => "\"\"".to_owned(),
        value => clean(value),
    }
}

fn is_label(row: &ValueStats) -> bool {
    [NONE, OTHER].contains(&&*row.value)
}

fn transactions(table: &mut Table, total: &Window) {
    if total.transactions.is_empty() {
        return;
    }
    table.section("Transactions");
    let per_s = |row: &TransactionStats| per_s(row.duration.count, total);
    for row in most(&total.transactions, |row| row.duration.count) {
        table.row(Row {
            name: clean(&row.name),
            is_label: false,
            count: Some(row.duration.count),
            failures: Some(row.failures),
            per_s: per_s(row),
            times: row.duration,
        });
    }
    if total.transactions.len() > ROWS {
        table.note(format!(
            "… {} more: `--summary FILE` writes them all",
            count((total.transactions.len() - ROWS) as u64)
        ));
    }
}

/// Where the time of requests went.
fn phases(table: &mut Table, all: &RequestStats) {
    // A request on an open connection has neither of the first two, one without
    // an answer none of the last two.
    let phases = [
        ("connecting", all.connecting),
        ("TLS handshake", all.tls),
        ("waiting", all.waiting),
        ("receiving", all.receiving),
    ];
    let measured = phases.iter().filter(|(_, times)| times.count > 0);
    for (at, (name, times)) in measured.enumerate() {
        if at == 0 {
            table.section("Phases of all requests");
        }
        table.row(Row {
            name: (*name).to_owned(),
            is_label: true,
            count: Some(times.count),
            times: *times,
            ..Row::default()
        });
    }
}

fn iterations(table: &mut Table, total: &Window) {
    let iterations = &total.iterations;
    table.section("Iterations");
    if iterations.finished + iterations.interrupted + iterations.dropped == 0 {
        table.note("none");
        return;
    }
    table.row(Row {
        name: "finished".to_owned(),
        is_label: true,
        count: Some(iterations.finished),
        failures: Some(iterations.failed),
        per_s: per_s(iterations.finished, total),
        times: iterations.duration,
    });
    if iterations.lag.count > 0 {
        table.row(Row {
            name: "from due to start".to_owned(),
            is_label: true,
            count: Some(iterations.lag.count),
            times: iterations.lag,
            ..Row::default()
        });
    }
    for end in ends(iterations) {
        table.note(end);
    }
    for GroupStats { tag, values } in &total.groups {
        by_scenario(table, tag, values, total);
    }
}

/// Iterations by the values of a tag, if it is the one that they have.
fn by_scenario(table: &mut Table, tag: &str, values: &[ValueStats], total: &Window) {
    let iterations = |row: &ValueStats| row.iterations.unwrap_or_default();
    if values.iter().all(|row| row.iterations.is_none()) {
        return;
    }
    table.section(format!("Iterations by {}", clean(tag)));
    for row in most(values, |row| iterations(row).finished) {
        let it = iterations(row);
        table.row(Row {
            name: value_name(row),
            is_label: is_label(row),
            count: Some(it.finished),
            failures: Some(it.failed),
            per_s: per_s(it.finished, total),
            times: it.duration,
        });
    }
    for row in values {
        for end in ends(&iterations(row)) {
            table.note(format!("{}: {end}", shorten_middle(&value_name(row), 30)));
        }
    }
}

/// How iterations ended that did not finish, in words; empty if all did.
fn ends(iterations: &IterationStats) -> Vec<String> {
    let mut more = Vec::new();
    if iterations.interrupted > 0 {
        more.push(format!(
            "{} cut short by the end of the run",
            count(iterations.interrupted)
        ));
    }
    if iterations.dropped > 0 {
        let because: Vec<_> = DropReason::ALL
            .into_iter()
            .map(|reason| (reason, iterations.dropped_because.because(reason)))
            .filter(|(_, dropped)| *dropped > 0)
            .collect();
        more.push(match &*because {
            [(reason, _)] => {
                format!(
                    "{} never started ({})",
                    count(iterations.dropped),
                    reason.words()
                )
            }
            because => {
                let because: Vec<_> = because
                    .iter()
                    .map(|(reason, dropped)| format!("{}: {}", reason.words(), count(*dropped)))
                    .collect();
                format!(
                    "{} never started ({})",
                    count(iterations.dropped),
                    because.join(", ")
                )
            }
        });
    }
    more
}

fn per_s(count: u64, total: &Window) -> Option<f64> {
    let seconds = total.duration.as_secs_f64();
    (seconds > 0.0).then(|| count as f64 / seconds)
}

/// Of too many rows those with the most of something, in their order.
fn most<T>(rows: &[T], of: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut least = 0;
    if rows.len() > ROWS {
        let mut sizes: Vec<u64> = rows.iter().map(&of).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        least = sizes[ROWS - 1];
    }
    let above = rows.iter().filter(|row| of(row) > least).count();
    let mut level = ROWS.saturating_sub(above);
    rows.iter()
        .filter(|row| {
            let size = of(row);
            size > least
                || size == least && {
                    let fits = level > 0;
                    level = level.saturating_sub(1);
                    fits
                }
        })
        .collect()
}

fn metric_figures(metric: &MetricStats) -> String {
    match (metric.kind, &metric.distribution) {
        (MetricKind::Counter, _) => number(metric.value),
        (MetricKind::Gauge, _) => format!("{} at the end", number(metric.value)),
        (MetricKind::Rate, _) => format!("{} % of {}", percent(metric.value), count(metric.count)),
        (MetricKind::Trend, Some(trend)) => format!(
            "{} values: min {}  mean {}  median {}  p95 {}  max {}",
            count(metric.count),
            number(trend.min),
            number(trend.mean),
            number(trend.median),
            number(trend.quantiles[1]),
            number(trend.max)
        ),
        (MetricKind::Trend, None) => number(metric.value),
    }
}

/// Whether there were requests, and not one response.
fn is_unanswered(all: &RequestStats) -> bool {
    all.requests > 0 && matches!(all.statuses[..], [(0, none)] if none == all.requests)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::made_up;
    use super::*;
    use crate::plan::Share;
    use crate::run::Health;
    use crate::run::link::ClockCheck;
    use crate::stats::Histogram;

    /// Compares with the expected output beside this file; with
    /// `UPDATE_EXPECT=1` writes it anew.
    #[track_caller]
    fn is_golden(name: &str, text: &str) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/report/golden")
            .join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, text).expect("the folder is there");
        }
        let expected = std::fs::read_to_string(&file).expect("the file is there");
        assert_eq!(text, expected, "{}", file.display());
    }

    #[track_caller]
    fn fits(text: &str, columns: usize) {
        for line in text.lines() {
            assert!(
                width(line) <= columns,
                "{} > {columns}: {line}",
                width(line)
            );
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn a_busy_run_reads_well_at_every_width() {
        let outcome = made_up::shop();
        for columns in [80, 100, 140] {
            let text = render(&outcome, columns, Palette::PLAIN);
            fits(&text, columns);
            is_golden(&format!("shop-{columns}"), &text);
        }
    }

    #[test]
    fn a_worker_is_a_line_with_what_is_to_be_known_of_it() {
        let lost = Some((Duration::from_secs(12), "it is silent".to_owned()));
        let worker = |name: &str, index, lost, told| WorkerOutcome {
            name: name.to_owned(),
            share: Share::new(index, 3),
            clock: Some(ClockCheck {
                offset_ms: -12.3,
                error_ms: 0.4,
            }),
            requests: 1_234,
            iterations: 617,
            duration_histogram: Histogram::default(),
            health: Some(Health {
                cpu_is_known: true,
                cpu_max_percent: 61.3,
                scheduler_lag_max: Duration::from_micros(2_310),
                ..Health::default()
            }),
            lost,
            told,
            returns: 0,
        };
        let mut outcome = made_up::shop();
        let told = Some(Duration::from_secs(9));
        outcome.workers = vec![
            worker("load-1", 0, None, told),
            worker("load-2", 1, lost.clone(), told),
            worker("load-3", 2, lost, None),
        ];
        outcome.workers[0].returns = 1;
        let text = render(&outcome, 140, Palette::PLAIN);
        let flat: Vec<_> = text.split_whitespace().collect();
        let flat = flat.join(" ");
        for line in [
            "Workers: 3, of which 2 lost",
            "load-1: share 1 of 3, 1,234 requests · CPU at most 61.3 % · lag 2.31 ms · clock -12.3 ms \
             ± 0.40 ms · was lost once, and came back with all it measured",
            "LOST after 12.0s: it is silent · what it did after 9.0s is not counted",
            "LOST after 12.0s: it is silent · nothing of what it did is counted",
        ] {
            assert!(flat.contains(line), "no `{line}` in {flat}");
        }
    }

    #[test]
    fn a_run_is_split_by_scenario_and_by_tag() {
        let outcome = made_up::mix();
        for columns in [80, 140] {
            let text = render(&outcome, columns, Palette::PLAIN);
            fits(&text, columns);
            is_golden(&format!("mix-{columns}"), &text);
        }
    }

    #[test]
    fn a_passed_run_is_short() {
        let text = render(&made_up::hello(), 100, Palette::PLAIN);
        fits(&text, 100);
        is_golden("hello", &text);
    }

    #[test]
    fn a_run_in_trouble_says_so_first() {
        let text = render(&made_up::trouble(), 100, Palette::PLAIN);
        fits(&text, 100);
        is_golden("trouble", &text);
    }

    #[test]
    fn a_run_without_a_request_is_told() {
        let text = render(&made_up::nothing(), 80, Palette::PLAIN);
        fits(&text, 80);
        is_golden("nothing", &text);
    }

    #[test]
    fn failures_without_a_threshold_are_not_passed_over() {
        let first_line = |outcome: &Outcome| {
            let text = render(outcome, 100, Palette::PLAIN);
            text.lines().next().unwrap_or_default().to_owned()
        };
        let mut outcome = made_up::shop();
        outcome.exit_code = ExitCode::Passed;
        outcome.summary.thresholds.clear();
        assert!(first_line(&outcome).starts_with("! DONE with failures"));
        // Nor if something other than time ended the run.
        outcome.summary.reason = StopReason::Other("all rows are used up".into());
        assert!(first_line(&outcome).starts_with("! DONE with failures"));
        let mut outcome = made_up::hello();
        outcome.summary.thresholds.clear();
        assert!(first_line(&outcome).starts_with("✓ DONE without failures"));
        outcome.summary.reason = StopReason::Other("all rows are used up".into());
        assert!(first_line(&outcome).ends_with(": all rows are used up"));
    }

    #[test]
    fn a_server_that_never_answers_is_what_to_look_at() {
        let hinted = |outcome: &Outcome| {
            let text = render(outcome, 100, Palette::PLAIN);
            text.contains("hint: no request was answered")
        };
        let mut outcome = made_up::shop();
        assert!(!hinted(&outcome));
        let mut stats = (*outcome.summary.stats).clone();
        let all = &mut stats.total.all;
        all.statuses = vec![(0, all.requests)];
        outcome.summary.stats = stats.into();
        assert!(hinted(&outcome));
    }

    #[test]
    fn what_is_quiet_still_says_why_it_failed() {
        is_golden("quiet", &verdict(&made_up::shop(), 100, Palette::PLAIN));
    }

    #[test]
    fn colour_changes_no_character() {
        let coloured = render(&made_up::shop(), 100, Palette::COLOURED);
        let mut bare = String::new();
        let mut rest = &*coloured;
        while let Some((before, after)) = rest.split_once('\x1b') {
            bare += before;
            rest = after.split_once('m').expect("a colour ends in m").1;
        }
        bare += rest;
        assert_ne!(coloured, bare);
        assert_eq!(bare, render(&made_up::shop(), 100, Palette::PLAIN));
    }

    #[test]
    fn of_too_many_rows_the_largest_are_kept_in_order() {
        let rows: Vec<u64> = (0..200).map(|at| at * 7919 % 200).collect();
        let kept = most(&rows, |row| *row);
        assert_eq!(kept.len(), ROWS);
        assert!(kept.iter().all(|row| **row >= 150));
        let level = vec![1u64; 80];
        assert_eq!(most(&level, |row| *row).len(), ROWS);
    }
}
