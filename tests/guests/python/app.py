"""A script that tries one thing a script may do, chosen by the environment variable
`CASE`, and fails the iteration with a message when it does not go as `wit/script`
promises.

`../README.md` lists the cases, and what the server has to answer.
"""

import os

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import execution, http

import control
import requests
import world
from claims import same
from control import write
from world import variable

data: str | None = None
starts = 0


class User(exports.User):
    def iterate(self) -> None:
        case = variable("CASE")
        if case not in CASES:
            raise Err(f"no such case: {case}")
        CASES[case]()


class Lifecycle(exports.Lifecycle):
    """The hooks. They log that they ran only if the case is about them."""

    def setup(self) -> str:
        case = variable("CASE")
        if case == "setup-err":
            raise Err("the setup says no")
        if case == "lifecycle":
            write("lifecycle: setup")
        return os.environ.get("SETUP_DATA", "")

    def on_start(self, data: str) -> None:
        case = variable("CASE")
        if case == "start-err":
            raise Err("the start says no")
        if case == "lifecycle":
            same("the data", data, variable("SETUP_DATA"))
            write(f"lifecycle: start of VU {execution.vu_id()}")
            # What is done here lasts: the iterations look for the header.
            http.set_header("x-started", "yes")
        remember(data)

    def on_stop(self) -> None:
        if variable("CASE") == "lifecycle":
            write(f"lifecycle: stop of VU {execution.vu_id()}")

    def teardown(self, data: str) -> None:
        if variable("CASE") == "lifecycle":
            write(f"lifecycle: teardown with {data}")


def remember(given: str) -> None:
    global data, starts
    data = given
    starts += 1


def after_start() -> None:
    same("the data", data, variable("SETUP_DATA"))
    same("the number of starts", starts, 1)
    started = requests.echoed(http.get("/echo", None), "/headers/x-started")
    same("the header set at the start", started, "yes")


def say_no() -> None:
    raise Err("the script says no")


def throw() -> None:
    """The first iteration of each VU raises, two functions further in."""
    if execution.iteration() == 0:
        look_into_basket()
    same("the status", http.get("/echo", None).status(), 200)


def look_into_basket() -> None:
    write(f"{count_items([])} items")


def count_items(basket: list[int]) -> int:
    if not basket:
        raise ValueError("the basket is empty")
    return len(basket)


CASES = {
    "methods": requests.methods,
    "bodies": requests.bodies,
    "headers": requests.headers,
    "redirects": requests.redirects,
    "timeout": requests.timeout,
    "refused": requests.refused,
    "batch": requests.batch,
    "json": requests.json_values,
    "soak": requests.soak,
    "sleep": control.sleep,
    "transactions": control.transactions,
    "checks": control.checks,
    "metrics": control.all_metrics,
    "stop-vu": control.stop_vu,
    "abort-run": control.abort_run,
    "random": control.numbers,
    "log": control.every_level,
    "globals": control.count_iterations,
    "err": say_no,
    "throw": throw,
    "lifecycle": after_start,
    "environment": world.environment,
    "print": world.print_all,
}
