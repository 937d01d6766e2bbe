"""What a case says of what it got."""

from componentize_py_types import Err


def holds(what: str, is_so: bool) -> None:
    """Raises unless something is so."""
    if not is_so:
        raise Err(f"not so: {what}")


def same(what: str, got: object, want: object) -> None:
    """Raises unless two values are the same."""
    if got != want:
        raise Err(f"{what}: got {got!r}, want {want!r}")


def lasts(what: str, duration_ms: float, at_least: float, below: float) -> None:
    """Raises unless a duration is within two bounds."""
    holds(f"{what}: {duration_ms} ms is from {at_least} to {below}", at_least <= duration_ms < below)
