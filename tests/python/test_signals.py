"""Long calls see signals, so that Ctrl-C ends them, and let other threads run.

Python runs a signal's handler between two instructions of its own, or where a call asks for it. A timer that ticks during
one long call would be heard once, behind it; heard more often, the call has looked.
"""

import signal
import time
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest

import mxfp4

LONG = 1 << 28  # elements: four steps of a call
COLUMNS = 4096


@contextmanager
def ticks(handler):
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def row() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(COLUMNS).astype(np.float16)


@pytest.fixture(scope="module")
def x(row) -> np.ndarray:
    """The same row again and again, which takes no memory."""
    return np.broadcast_to(row, (LONG // COLUMNS, COLUMNS))


@pytest.fixture(scope="module")
def t() -> mxfp4.Tensor:
    rows = LONG // COLUMNS
    return mxfp4.Tensor(np.zeros((rows, COLUMNS // 2), np.uint8), np.full((rows, COLUMNS // 32), 127, np.uint8))


@pytest.fixture(scope="module")
def calls(x, t, row):
    experts = mxfp4.Tensor(t.codes.reshape(16, -1, COLUMNS // 2), t.scales.reshape(16, -1, COLUMNS // 32))
    up, down = (mxfp4.quantize(np.broadcast_to(row[:512], (4, n, 512))) for n in (1024, 512))
    mixture = mxfp4.Experts(up, down, threads=1, activation="int8")
    ids, weights = np.zeros((1 << 13, 2), np.int32), np.ones((1 << 13, 2), np.float32)
    layer = mxfp4.Linear(mxfp4.quantize(np.broadcast_to(row, (1024, COLUMNS))), threads=1, activation="int8")
    router = mxfp4.Router(np.broadcast_to(row, (64, COLUMNS)), top_k=2)
    return {
        "quantize": lambda: mxfp4.quantize(x, threads=1),
        "quantize, axis 0": lambda: mxfp4.quantize(x.T, axis=0, threads=1),
        "dequantize": lambda: t.dequantize("float16"),
        "dequantize, transposed": lambda: experts.dequantize("float16", transpose=True),
        "error_stats": lambda: mxfp4.error_stats(x, t, threads=1),
        "Linear": lambda: layer(x[: 1 << 14]),
        "Experts": lambda: mixture(x[: 1 << 13, :512], ids, weights),
        "Router": lambda: router(x[: 1 << 13]),
        "quantize, importance": lambda: mxfp4.quantize(x[: 1 << 10], importance=np.ones(COLUMNS, np.float32)),
    }


NAMES = ["quantize", "quantize, axis 0", "dequantize", "dequantize, transposed", "error_stats", "Linear", "Experts"]
NAMES += ["Router", "quantize, importance"]


@pytest.mark.parametrize("name", NAMES)
def test_a_long_call_looks_at_signals(name: str, calls):
    heard = []
    with ticks(lambda *_: heard.append(1)):
        calls[name]()
        count = len(heard)
    assert count >= 3


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_of_a_handler_ends_it(name: str, calls):
    def interrupt(*_):
        signal.setitimer(signal.ITIMER_REAL, 0)  # once is enough: another tick would meet whoever handles this one
        raise KeyboardInterrupt

    small = np.random.default_rng(2).standard_normal((64, COLUMNS)).astype(np.float32)
    before = mxfp4.quantize(small)
    with pytest.raises(KeyboardInterrupt), ticks(interrupt):
        calls[name]()
    np.testing.assert_array_equal(mxfp4.quantize(small).codes, before.codes)  # threads go on as if nothing had been


@pytest.mark.parametrize("name", ["quantize", "dequantize", "error_stats", "Linear", "Experts"])
def test_other_threads_run_meanwhile(name: str, calls):
    """The call holds the interpreter's lock for moments: a thread that held it would be alone until it is done."""
    thread, turns = Thread(target=calls[name]), 0
    thread.start()
    while thread.is_alive():
        time.sleep(1e-3)
        turns += 1
    assert turns > 20


def test_what_is_cut_into_steps_is_what_it_would_be_in_one(row):
    """Steps with all that depends on the place: scales to keep, importance by expert, and the place of a NaN."""
    experts, rows = 5, (1 << 26) // COLUMNS // 4 + 1
    x = np.broadcast_to(row, (experts, rows, COLUMNS)) * np.arange(1, experts + 1, dtype=np.float16)[:, None, None]
    importance = np.linspace(0, 1, experts * COLUMNS, dtype=np.float32).reshape(experts, COLUMNS)
    reference = mxfp4.quantize(x, scale="rceil")
    cut = mxfp4.quantize(x, importance=importance, reference=reference)
    for e in range(experts):
        one = mxfp4.quantize(x[e, :2], importance=importance[e], reference=reference.scales[e, :2])
        np.testing.assert_array_equal(cut.codes[e, :2], one.codes)
        np.testing.assert_array_equal(cut.scales[e, -2:], one.scales)
    x[4, 3, 2] = np.nan
    with pytest.raises(ValueError, match=r"element \[4, 3, 2\] is NaN"):
        mxfp4.quantize(x)
