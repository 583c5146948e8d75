"""Arguments of which the extension would say no more than that their type is wrong."""

from __future__ import annotations

import operator
import os
from typing import Any


def text(value: Any, what: str) -> str:
    """A string. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is {value!r}, not a string")
    return value


def texts(value: Any, what: str) -> list[str]:
    """Strings, or one. Raises TypeError for anything else."""
    return [value] if isinstance(value, str) else [text(one, f"one of {what}") for one in value]


def number(value: Any, what: str, most: int = 2**31 - 1) -> int:
    """A whole number that is not negative. Raises TypeError, ValueError."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}, not a whole number") from None
    if not 0 <= whole <= most:
        raise ValueError(f"{what} is {whole}, not between 0 and {most}")
    return whole


def thread_count(threads: int | None) -> int:
    """For the extension, to which 0 is all processors."""
    return 0 if threads is None else number(threads, "threads")


def device_name(device: str | None) -> str:
    """For the extension, to which "" is what MXFP4_DEVICE says."""
    return "" if device is None else text(device, "device")


def file_path(value: Any, what: str) -> str:
    """Raises TypeError for what is no path."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}, not a path") from None


def called(progress: Any) -> Any:
    """A function to tell progress to, or None. Raises TypeError for anything else."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {progress!r}, not a function")
    return progress
