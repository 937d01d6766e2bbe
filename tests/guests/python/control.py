"""The run as the script sees it, and what the script adds to it."""

import math
from collections.abc import Callable

from wit_world.imports import execution, http, log, metrics, random, timing
from wit_world.imports.timing import Transaction

from claims import holds, lasts, same


def sleep() -> None:
    lasts("about 50", measured(lambda: timing.sleep_ms(50)), 49, 1_000)
    lasts("about 30 to 60", measured(lambda: timing.sleep_between_ms(30, 60)), 29, 1_000)
    for odd_ms in (0.0, -5.0, math.nan, -math.inf):
        lasts(f"{odd_ms}", measured(lambda: timing.sleep_ms(odd_ms)), 0, 500)
        between_ms = measured(lambda: timing.sleep_between_ms(odd_ms, odd_ms))
        lasts(f"between {odd_ms}", between_ms, 0, 500)


def transactions() -> None:
    """One that finishes, one that fails, one that is stopped twice and one that is
    dropped before it is stopped."""
    with Transaction("finished") as finished:
        timing.sleep_ms(30)
        lasts("about 30", finished.finish_ms(), 29, 1_000)

    with Transaction("failed") as failed:
        timing.sleep_ms(10)
        lasts("about 10", failed.fail_ms("no luck"), 9, 1_000)

    with Transaction("twice") as twice:
        first_ms = twice.finish_ms()
        timing.sleep_ms(30)
        same("a second stop changes nothing", twice.fail_ms("too late"), first_ms)

    with Transaction("dropped"):
        pass


def checks() -> None:
    """Three of four hold in every iteration."""
    holds("a check returns what held", metrics.check("holds", True))
    holds("and what did not", not metrics.check("fails", False))
    metrics.check("holds", True)
    metrics.check("holds", True)


def all_metrics() -> None:
    metrics.counter_add("items", 2)
    metrics.counter_add("items", 0.5)
    metrics.gauge_set("basket", 7)
    metrics.gauge_set("basket", 3)
    for hit in (True, True, True, False):
        metrics.rate_add("hits", hit)
    for value in (10, 20, 30):
        metrics.trend_add("price", value)
    # What cannot be added up is left out, and harms nobody.
    metrics.trend_add("price", math.nan)
    metrics.counter_add("items", math.inf)


iterations = 0


def count_iterations() -> None:
    """Globals last from one iteration to the next, and are this VU's own."""
    global iterations
    same("the iterations so far", iterations, execution.iteration())
    iterations += 1


def stop_vu() -> None:
    """The VU ends after its second iteration."""
    if execution.iteration() == 1:
        execution.stop_vu()
        # This iteration still comes to its end.
        same("after stop-vu", http.get("/echo", None).status(), 200)
        return
    holds("no iteration after stop-vu", execution.iteration() == 0)


def abort_run() -> None:
    """The first VU ends the run in its third iteration."""
    if execution.vu_id() == 1 and execution.iteration() == 2:
        execution.abort_run("the shop is on fire")
    same("the status", http.get("/echo", None).status(), 200)


def numbers() -> None:
    """Logs what the host's source gives, to be compared between VUs and runs."""
    uniform, between = random.uniform(), random.between(-3, 3)
    some = random.bytes(16)
    holds("from 0 to 1", 0 <= uniform < 1)
    holds("from -3 to 3", -3 <= between <= 3)
    same("the number of bytes", len(some), 16)
    same("no bytes", random.bytes(0), b"")
    same("between a number and itself", random.between(5, 5), 5)
    seen = set()
    for _ in range(200):
        holds("from 0 to 1", 0 <= random.uniform() < 1)
        seen.add(random.between(0, 2))
    same("both bounds are included", seen, {0, 1, 2})
    whole = random.between(-(2**31), 2**31 - 1)
    write(f"random: {uniform} {between} {whole} {list(some)}")


def every_level() -> None:
    log.write(log.Level.DEBUG, "log: debug")
    log.write(log.Level.INFO, "log: info")
    log.write(log.Level.WARN, "log: warn")
    log.write(log.Level.ERROR, "log: error")


def write(message: str) -> None:
    log.write(log.Level.INFO, message)


def measured(action: Callable[[], None]) -> float:
    start_ms = timing.now_ms()
    action()
    return timing.now_ms() - start_ms
