"""Whole checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mxfp4 import _core
from mxfp4._arguments import called, file_path, number, text, texts, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mxfp4._checkpoint import StrPath


def quantize_checkpoint(
    source: StrPath,
    out: StrPath,
    *,
    preset: str = "mxfp4",
    scale: str | None = None,
    nonfinite: str = "error",
    format: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    rules: Mapping[str, str] | None = None,
    reference: StrPath | None = None,
    imatrix: StrPath | None = None,
    card: bool = True,
    threads: int | None = None,
    max_memory: int = 2 << 30,
    max_shard: int = 5_000_000_000,
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Quantise a checkpoint to MXFP4: what `mxfp4 quantize SOURCE OUT` does, in bounded memory.

    source, out
        Model directories, or .safetensors files. `out` appears whole or not at all.
    preset, scale, nonfinite
        As quantize() takes them.
    format
        Names and layout of the result, one of info()["formats"]; by default what suits the model.
    include, exclude
        Patterns of weights to quantise alone, or to keep: exact names, dotted prefixes, globs, or "re:EXPRESSION".
    rules
        Pattern -> scale rule, or "keep"; the last that names a tensor decides.
    reference
        The MXFP4 original of `source`: its scales are kept where they are as good.
    imatrix
        A file of importances: llama.cpp's, or safetensors.
    card
        Write a README.md that says what was done, if `source` has none.
    max_memory, max_shard
        Bytes of memory to use at most, mapped files left out; and of each file of a directory.
    overwrite, resume
        Replace an `out` that exists; go on from what a run that was cut short has finished.
    dry_run
        Write nothing: return the plan, and check that it could be carried out.
    progress
        Called with bytes done and bytes in all, a few times a second, on this thread. An exception from it, as
        Ctrl-C, stops the job; shards that are whole by then stay in OUT.mxfp4-partial for `resume`, and a note of the
        exception says so. With tqdm:

            with tqdm(unit="B", unit_scale=True) as bar:
                def progress(done, total):
                    bar.total = total
                    bar.update(done - bar.n)

    Returns the report that `mxfp4 quantize --json` prints, as a dict. Warnings come as UserWarning.
    Raises ValueError for arguments and files that are not right, OSError, MemoryError if `max_memory` is too small.
    """
    return _core.quantize_checkpoint(
        file_path(source, "source"),
        file_path(out, "out"),
        text(preset, "preset"),
        None if scale is None else text(scale, "scale"),
        text(nonfinite, "nonfinite"),
        text(format or "", "format"),
        texts(include, "include"),
        texts(exclude, "exclude"),
        [f"{pattern}={rule}" for pattern, rule in (rules or {}).items()],
        file_path(reference or "", "reference"),
        file_path(imatrix or "", "imatrix"),
        bool(card),
        *_options(threads, max_memory, max_shard, overwrite, resume, dry_run, progress),
    )


def convert_checkpoint(
    source: StrPath,
    out: StrPath,
    format: str,
    *,
    convention: str | None = None,
    verify: bool = True,
    threads: int | None = None,
    max_memory: int = 2 << 30,
    max_shard: int = 5_000_000_000,
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Store an MXFP4 checkpoint as another project does: what `mxfp4 convert SOURCE OUT --format FORMAT` does.

    Codes and scales are moved as they are, or their values encoded anew ("fp8", "nvfp4"), and nothing is rounded.

    source, out
        Model directories, or files. `out` appears whole or not at all.
    format
        How to store `out`, one of info()["formats"]: "gpt-oss", "compressed-tensors", "mlx", "gguf", ...
    convention
        How `source` is stored, where its files leave that open.
    verify
        Read `out` back and compare it with `source`, block by block, before it gets its name.
    threads, max_memory, max_shard, overwrite, resume, dry_run, progress
        As quantize_checkpoint() takes them.

    Returns the report that `mxfp4 convert --json` prints, as a dict. Warnings come as UserWarning.
    Raises ValueError for a model that the format cannot hold, or not exactly, with the reason (with `dry_run` the report's
    "inexact" has all of what is not exact), OSError, MemoryError.
    """
    return _core.convert_checkpoint(
        file_path(source, "source"),
        file_path(out, "out"),
        text(format, "format"),
        text(convention or "", "convention"),
        bool(verify),
        *_options(threads, max_memory, max_shard, overwrite, resume, dry_run, progress),
    )


def _options(
    threads: int | None,
    max_memory: int,
    max_shard: int,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    progress: Callable[[int, int], object] | None,
) -> tuple[int, int, int, bool, bool, bool, Callable[[int, int], object] | None]:
    """What every job takes, as the extension takes it."""
    sizes = number(max_memory, "max_memory", 2**63 - 1), number(max_shard, "max_shard", 2**63 - 1)
    return thread_count(threads), *sizes, bool(overwrite), bool(resume), bool(dry_run), called(progress)
