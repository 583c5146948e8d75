"""MXFP4 for Python: 4-bit weights, 32 of them sharing one power-of-two scale (OCP Microscaling Formats v1.0).

    t = mxfp4.quantize(weight)              # numpy, torch, ml_dtypes: read where they lie
    w = t.dequantize()                      # the exact products, rounded once
    layer = mxfp4.Linear(t, bias)           # y = x W^T + bias on the 4-bit weight
    mlp = mxfp4.Mlp.from_checkpoint("gpt-oss-20b", 0)
    model = mxfp4.open("model-mxfp4")       # a checkpoint as a mapping, read when asked for
    mxfp4.save("out.safetensors", {"w": t})
    mxfp4.quantize_checkpoint("model", "model-mxfp4")
    mxfp4.convert_checkpoint("model-mxfp4", "model-mlx", "mlx")

Arrays may be numpy's (float32, float16, ml_dtypes.bfloat16), torch's on the CPU, or anything else with DLPack; none is
copied. Everything computes on all processors and without the interpreter's lock, gives the same bytes on every machine
and for any number of threads, and ends on Ctrl-C. What goes wrong is a ValueError (arguments, files that break their
rules, what is not supported), a TypeError, an OSError or a MemoryError, with a message that names the thing and its
values.

`python -m mxfp4` is the command line.
"""

from mxfp4._checkpoint import Checkpoint, open, save
from mxfp4._core import version as _version
from mxfp4._error_stats import ErrorStats, error_stats
from mxfp4._experts import Experts, Mlp, Router
from mxfp4._info import info
from mxfp4._jobs import convert_checkpoint, quantize_checkpoint
from mxfp4._linear import Linear
from mxfp4._tensor import Tensor, dequantize, quantize

__version__ = _version()
__all__ = [
    "Checkpoint",
    "ErrorStats",
    "Experts",
    "Linear",
    "Mlp",
    "Router",
    "Tensor",
    "convert_checkpoint",
    "dequantize",
    "error_stats",
    "info",
    "open",
    "quantize",
    "quantize_checkpoint",
    "save",
]
