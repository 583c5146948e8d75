"""Checkpoints as mappings of names to tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mxfp4 import _core
from mxfp4._arguments import called, file_path, text
from mxfp4._arrays import dtype_name, is_torch, numpy_dtype, torch_bytes
from mxfp4._tensor import Tensor, _tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mxfp4._arrays import Bytes

StrPath = str | os.PathLike[str]

# Names of safetensors' dtypes -> numpy's, which ml_dtypes completes, and torch's where it is another.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
FILE_DTYPES = {name: stored for stored, name in DTYPES.items()}


class Checkpoint(Mapping[str, Any]):
    """A checkpoint's weights by name; open() makes one.

    Quantised weights are Tensors, dense ones arrays, both of the shape [..., N, K] that a Linear layer means: gpt-oss's
    dense experts, stored as [E, K, N], are a transposed view. A weight is looked at when it is asked for, and its bytes
    are read from the mapped file when they are used. Arrays keep the file mapped, and cannot be written to.

    No view of the file, but made when they are asked for: the blocks of GGUF, which come as Tensors all the same, and
    weights in another quantisation (FP8, NVFP4, GGUF's Q8_0), which come as float32. F4 that has no scales comes
    as bytes, uint8 [..., K/2], and as float4_e2m1fn_x2 in torch.
    """

    def __init__(
        self, path: StrPath, *, convention: str = "", framework: Literal["numpy", "torch"] = "numpy"
    ) -> None:
        if framework not in ("numpy", "torch"):
            raise ValueError(f"framework is {framework!r}, neither 'numpy' nor 'torch'")
        self._file = _core.Checkpoint(file_path(path, "path"), text(convention, "convention"))
        self._names = dict.fromkeys(self._file.names())
        self._framework = framework
        self._path = os.fspath(path)

    @property
    def path(self) -> str:
        """As it was given."""
        return self._path

    @property
    def convention(self) -> str:
        """How quantised weights are stored: "gpt-oss", "compressed-tensors", ..., "dense" if none are."""
        return self._file.convention

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json; empty if there is none."""
        import json

        return json.loads(self._file.config or "{}")  # type: ignore[no-any-return]

    def __getitem__(self, name: str) -> Any:
        dtype, shape, *parts = self._file.entry(name)
        if dtype == "MXFP4":
            return self._quantized(name, shape, parts)
        if not parts:  # of another quantisation
            values = np.empty(shape, np.float32)
            self._file.read_other(name, values)
            return self._framed(values)
        (data,) = parts
        if dtype not in DTYPES:
            return self._packed(dtype, shape, data)
        if self._framework == "torch":
            array: Any = _torch_copy(data, DTYPES[dtype], shape)
        else:
            array = data.view(numpy_dtype(DTYPES[dtype], f"'{name}'")).reshape(shape)
        return array.swapaxes(-1, -2) if self._file.transposed(name) else array

    def _quantized(self, name: str, shape: list[int], parts: list[Bytes]) -> Tensor:
        *rows, columns = shape
        places = (*rows, columns // 2), (*rows, columns // 32)
        if parts:
            codes, scales = (part.reshape(place) for part, place in zip(parts, places, strict=True))
        else:  # in turns with its scales, or in another order: GGUF
            codes, scales = (np.empty(place, np.uint8) for place in places)
            self._file.read_blocks(name, codes, scales)
        return _tensor(codes, scales, tuple(shape), len(rows), 32)

    def _packed(self, dtype: str, shape: list[int], data: Bytes) -> Any:
        """Elements that share bytes and have no scales: F4 with two a byte, if a row has whole ones; else all bytes."""
        if dtype != "F4" or not shape or shape[-1] % 2:
            return self._framed(data)
        data = data.reshape(*shape[:-1], shape[-1] // 2)
        if self._framework == "numpy":
            return data
        import torch

        return torch_bytes(data).view(torch.float4_e2m1fn_x2)

    def _framed(self, array: Any) -> Any:
        return torch_bytes(array) if self._framework == "torch" else array

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<mxfp4.Checkpoint {self._path!r}: {len(self)} weights, {self.convention}>"


def opened(checkpoint: Checkpoint | StrPath) -> _core.Checkpoint:
    """A checkpoint as the extension holds it, opened if need be."""
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    return checkpoint._file


def _torch_copy(data: Any, dtype: str, shape: list[int]) -> Any:
    """A torch tensor with memory of its own: torch knows none that cannot be written to."""
    import torch

    tensor = torch.empty(shape, dtype=getattr(torch, dtype))
    if data.size:
        tensor.view(-1).view(torch.uint8).numpy()[:] = data
    return tensor


def open(
    path: StrPath, *, convention: str | None = None, framework: Literal["numpy", "torch"] = "numpy"
) -> Checkpoint:
    """Open a checkpoint, a directory or a file (.safetensors, .gguf, .uqff), as a mapping of names to tensors.

    convention
        What the files leave open: with "gpt-oss", stacked experts without a config are its [E, K, N].
    framework
        What dense weights are: "numpy" arrays over the mapped file, which need the package ml_dtypes if they are
        bfloat16; or "torch" tensors, each with a copy of its bytes.

    Reads headers only. Raises OSError, and ValueError where the files break a rule; the message says which.

    >>> mxfp4.save("w.safetensors", {"w.weight": mxfp4.quantize(np.ones((2, 32), np.float32))})
    ['w.safetensors']
    >>> mxfp4.open("w.safetensors")
    <mxfp4.Checkpoint 'w.safetensors': 1 weights, linear>
    >>> mxfp4.open("w.safetensors")["w.weight"]
    <mxfp4.Tensor shape=(2, 32), 34 bytes>
    """
    return Checkpoint(path, convention=convention or "", framework=framework)


def save(
    path: StrPath,
    tensors: Mapping[str, Any],
    *,
    convention: str = "linear",
    config: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> list[str]:
    """Write tensors as a checkpoint: `path` is a .safetensors file, or else a directory.

    tensors
        By name: Tensors quantised along their last axis in blocks of 32, K a multiple of 32, under the names that the
        dense weights would have ("model.layers.0.mlp.up_proj.weight"), under which open() finds them again: those of
        "gpt-oss" and "openai" have no ".weight", of others all but stacked experts, and "linear" takes any. And arrays
        of numpy or torch.
    convention
        What quantised weights are called and how they are shaped: "linear", "gpt-oss", "openai", "compressed-tensors";
        info()["formats"] says who reads them.
    config
        Of a directory: the model's config.json, into which what the convention says of the quantisation is put.
    overwrite
        Replace a `path` that exists.
    progress
        Called with bytes done and bytes in all.

    Returns the names of the files. They appear whole or not at all.
    Raises ValueError for what the convention cannot hold, with its name; OSError.
    """
    quantized: list[tuple[str, Bytes, Bytes, tuple[int, ...], int]] = []
    dense: list[tuple[str, str, Any]] = []
    out = file_path(path, "path")
    if config and out.endswith(".safetensors"):
        raise ValueError(f"{path}: a file holds no config; a directory does")
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save: {name!r} is no name")
        if isinstance(value, Tensor):
            if value.axis != len(value.shape) - 1:
                raise ValueError(f"'{name}': quantised along axis {value.axis}; a file has the quantised axis last")
            quantized.append((name, value.codes, value.scales, value.shape, value.block_size))
        else:
            dense.append((name, *_stored(name, value)))
    config_text = ""
    if config is not None:
        import json

        config_text = json.dumps(dict(config), indent=2)
    layout = text(convention, "convention")
    return _core.save(out, quantized, dense, layout, config_text, bool(overwrite), called(progress))


def _stored(name: str, value: Any) -> tuple[str, Any]:
    """The file's dtype, and the elements as unsigned integers of its size."""
    if is_torch(value):
        import torch

        if value.device.type != "cpu":
            raise ValueError(f"'{name}' lives on {value.device}: pass it as .cpu()")
        if value.layout != torch.strided:
            raise ValueError(f"'{name}' is {value.layout}: pass it as .to_dense()")
        dtype = dtype_name(value.dtype)
        plain = value.detach().resolve_conj().resolve_neg()
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}.get(value.element_size(), value.dtype)
        array = plain.view(bits).numpy()
    else:
        foreign = hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray)
        array = np.from_dlpack(value) if foreign else np.asarray(value)
        dtype = array.dtype.name
        if not array.dtype.isnative:
            raise ValueError(f"'{name}' is {dtype} in foreign byte order")
    if dtype.startswith("float4"):
        raise ValueError(f"'{name}' is {dtype}: codes are saved with their scales, as mxfp4.Tensor(codes, scales)")
    if dtype not in FILE_DTYPES:
        raise ValueError(f"'{name}' is {dtype}, which safetensors does not hold")
    return FILE_DTYPES[dtype], array.view(f"u{array.itemsize}")
