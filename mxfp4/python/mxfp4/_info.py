"""What this build can do, on this machine."""

from typing import TypedDict

from mxfp4 import _core


class Info(TypedDict):
    """What info() tells."""

    version: str
    machine: str
    """The processor's own name."""
    features: list[str]
    """What it has that kernels may ask for."""
    threads: int
    """Processors that this process may use, and threads that calls use unless told otherwise."""
    isa: str
    """The instruction set in use: the best that is supported, or the one that MXFP4_ISA names."""
    isas: dict[str, bool]
    """Every instruction set with kernels, best first, and whether this machine supports it."""
    scale_rules: dict[str, str]
    """Names for `scale`, and what they are."""
    presets: dict[str, str]
    """Names for `preset`."""
    formats: dict[str, str]
    """Names for `format` and `convention`."""


def info() -> Info:
    """What this build can do, on this machine: instruction sets, scale rules, presets, formats.

    >>> list(mxfp4.info()["scale_rules"])
    ['floor', 'even', 'rceil', 'ceil', 't725', 'round6', 'floor6', 'optimal']
    """
    return _core.info()  # type: ignore[return-value]
