"""What reaches the world by Python's standard library."""

import os
import sys

from componentize_py_types import Err
from wit_world.imports import log

from claims import holds


def variable(name: str) -> str:
    """An environment variable that the case needs."""
    try:
        return os.environ[name]
    except KeyError:
        raise Err(f"`{name}`: environment variable not found") from None


def environment() -> None:
    """Logs the whole environment, which is what was granted."""
    log.write(log.Level.INFO, f"environment: {','.join(sorted(os.environ))}")
    log.write(log.Level.INFO, f"arguments: {len(sys.argv)}")
    holds("it is the value that was granted", variable("GRANTED") == "a value = with, signs")


def print_all() -> None:
    print("print: to stdout")
    print("print: to stderr", file=sys.stderr)
    print("print: two\nprint: lines")
    print("print: in ", end="")
    print("pieces")
    print("print: without an end", end="", flush=True)
