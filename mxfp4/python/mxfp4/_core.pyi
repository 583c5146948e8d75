"""The C++ library as the Python files of this package call it. Not for others: it changes freely."""

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Progress = Callable[[int, int], object]

def version() -> str: ...
def info() -> dict[str, Any]: ...
def matches(pattern: str, name: str) -> bool: ...
def keep_reason(module: str, rows: int, columns: int) -> str: ...
def described(what: str, array: object) -> tuple[tuple[int, ...], str]: ...
def check_activation(name: str) -> None: ...
def quantize(
    x: object,
    bf16: bool,
    codes: Bytes,
    scales: Bytes,
    axis: int,
    block_size: int,
    preset: str,
    scale: str | None,
    nonfinite: str,
    importance: Floats | None,
    reference: Bytes | None,
    threads: int,
    device: str,
) -> None: ...
def dequantize(
    codes: Bytes,
    scales: Bytes,
    shape: tuple[int, ...],
    block_size: int,
    dtype: str,
    out: object,
    transposed: bool,
    threads: int,
    device: str,
) -> None: ...
def error_stats(
    x: object,
    bf16: bool,
    axis: int,
    codes: Bytes,
    scales: Bytes,
    shape: tuple[int, ...],
    block_size: int,
    threads: int,
) -> dict[str, Any]: ...
def quantize_checkpoint(
    source: str | PathLike[str],
    out: str | PathLike[str],
    preset: str,
    scale: str | None,
    nonfinite: str,
    format: str,
    include: list[str],
    exclude: list[str],
    rules: list[str],
    reference: str | PathLike[str],
    imatrix: str | PathLike[str],
    card: bool,
    threads: int,
    max_memory: int,
    max_shard: int,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    progress: Progress | None,
) -> dict[str, Any]: ...
def convert_checkpoint(
    source: str | PathLike[str],
    out: str | PathLike[str],
    format: str,
    from_: str,
    verify: bool,
    threads: int,
    max_memory: int,
    max_shard: int,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    progress: Progress | None,
) -> dict[str, Any]: ...
def save(
    out: str | PathLike[str],
    quantized: list[tuple[str, Bytes, Bytes, tuple[int, ...], int]],
    dense: list[tuple[str, str, Any]],
    convention: str,
    config: str,
    overwrite: bool,
    progress: Progress | None,
) -> list[str]: ...

class Checkpoint:
    def __init__(self, path: str | PathLike[str], convention: str) -> None: ...
    def names(self) -> list[str]: ...
    def entry(self, name: str) -> tuple[Any, ...]: ...
    def read_blocks(self, name: str, codes: Bytes, scales: Bytes) -> None: ...
    def read_other(self, name: str, elements: Floats) -> None: ...
    def transposed(self, name: str) -> bool: ...
    @property
    def convention(self) -> str: ...
    @property
    def foreign(self) -> str: ...
    @property
    def config(self) -> str: ...

Stack = tuple[Bytes, Bytes, tuple[int, ...], Floats | None]

class Experts:
    def __init__(
        self,
        gates: list[Stack],
        down: Stack,
        interleaved: bool,
        alpha: float,
        beta: float,
        limit: float,
        pack: bool,
        threads: int,
        device: str,
    ) -> None: ...
    @staticmethod
    def load(checkpoint: Checkpoint, layer: int, pack: bool, threads: int, device: str) -> Experts: ...
    def forward(
        self, x: object, bf16: bool, ids: NDArray[np.int32], weights: Floats, y: object, activation: str
    ) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def intermediate(self) -> int: ...
    @property
    def memory(self) -> int: ...

class Router:
    def __init__(
        self,
        weight: object,
        bf16: bool,
        bias: Floats | None,
        top_k: int,
        score: str,
        renormalize: bool,
        factor: float,
        correction: Floats | None,
        groups: int,
        top_groups: int,
    ) -> None: ...
    @staticmethod
    def load(checkpoint: Checkpoint, layer: int) -> Router: ...
    def forward(self, x: object, bf16: bool, ids: NDArray[np.int32], weights: Floats, threads: int) -> None: ...
    @property
    def experts(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def top_k(self) -> int: ...

class Mlp:
    @staticmethod
    def load(checkpoint: Checkpoint, layer: int, pack: bool, threads: int, device: str) -> Mlp: ...
    def forward(self, x: object, bf16: bool, token_ids: NDArray[np.int32] | None, y: object, activation: str) -> None: ...
    @property
    def experts(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def intermediate(self) -> int: ...
    @property
    def top_k(self) -> int: ...
    @property
    def memory(self) -> int: ...

class Linear:
    def __init__(
        self, codes: Bytes, scales: Bytes, rows: int, columns: int, bias: Floats | None, pack: bool, threads: int, device: str
    ) -> None: ...
    @staticmethod
    def load(checkpoint: Checkpoint, name: str, pack: bool, threads: int, device: str) -> Linear: ...
    def forward(self, x: object, bf16: bool, y: object, activation: str) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def packed(self) -> bool: ...
    @property
    def memory(self) -> int: ...
