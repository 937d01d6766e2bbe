//! Waiting and measuring.

use crate::squall::script::timing::{self, Transaction};
use crate::{holds, same};

pub fn sleep() -> Result<(), String> {
    let took_ms = measured(|| timing::sleep_ms(50.0));
    holds(
        &format!("{took_ms} ms is about 50"),
        (49.0..1_000.0).contains(&took_ms),
    )?;
    let took_ms = measured(|| timing::sleep_between_ms(30.0, 60.0));
    holds(
        &format!("{took_ms} ms is about 30 to 60"),
        (29.0..1_000.0).contains(&took_ms),
    )?;
    for odd_ms in [0.0, -5.0, f64::NAN, f64::NEG_INFINITY] {
        let took_ms = measured(|| timing::sleep_ms(odd_ms));
        holds(&format!("{took_ms} ms for {odd_ms}"), took_ms < 500.0)?;
        let took_ms = measured(|| timing::sleep_between_ms(odd_ms, odd_ms));
        holds(&format!("{took_ms} ms between {odd_ms}"), took_ms < 500.0)?;
    }
    Ok(())
}

/// Ends only because the VU is told to stop.
pub fn sleep_forever() -> Result<(), String> {
    timing::sleep_ms(f64::MAX);
    Ok(())
}

pub fn pace() -> Result<(), String> {
    let took_ms = measured(|| {
        timing::sleep_ms(50.0);
        timing::pace_ms(200.0);
    });
    holds(
        &format!("{took_ms} ms is about 200"),
        (150.0..1_000.0).contains(&took_ms),
    )?;
    let took_ms = measured(|| timing::pace_ms(100.0));
    holds(
        &format!("{took_ms} ms for a period that is over"),
        took_ms < 50.0,
    )
}

pub fn clocks() -> Result<(), String> {
    let (now_ms, wall_clock_ms) = (timing::now_ms(), timing::wall_clock_ms());
    holds("the run has begun", now_ms >= 0.0)?;
    holds("the run began not long ago", now_ms < 3_600_000.0)?;
    holds("it is later than 2025", wall_clock_ms > 1_735_689_600_000.0)?;
    timing::sleep_ms(20.0);
    holds("time goes by", timing::now_ms() - now_ms >= 19.0)?;
    holds(
        "on the wall, too",
        timing::wall_clock_ms() - wall_clock_ms >= 15.0,
    )
}

/// One that finishes, one that fails, one that is stopped twice and one that is
/// dropped before it is stopped.
pub fn transactions() -> Result<(), String> {
    let finished = Transaction::new("finished");
    timing::sleep_ms(30.0);
    let first_ms = finished.finish_ms();
    holds(
        &format!("{first_ms} ms is about 30"),
        (29.0..1_000.0).contains(&first_ms),
    )?;

    let failed = Transaction::new("failed");
    timing::sleep_ms(10.0);
    let failed_ms = failed.fail_ms("no luck");
    holds(
        &format!("{failed_ms} ms is about 10"),
        (9.0..1_000.0).contains(&failed_ms),
    )?;

    let twice = Transaction::new("twice");
    let first_ms = twice.finish_ms();
    timing::sleep_ms(30.0);
    same(
        "a second stop changes nothing",
        twice.fail_ms("too late"),
        first_ms,
    )?;

    drop(Transaction::new("dropped"));
    Ok(())
}

fn measured(action: impl FnOnce()) -> f64 {
    let start_ms = timing::now_ms();
    action();
    timing::now_ms() - start_ms
}
