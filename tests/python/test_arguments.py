"""Arguments of the wrong type, and messages that name arguments as Python has them."""

from pathlib import Path

import numpy as np
import pytest

import mxfp4

X = np.ones((2, 64), np.float32)
T = mxfp4.quantize(X)
MODEL = Path(__file__).parent.parent / "data/models/tiny-llama/bf16"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mxfp4.quantize(X, preset=None), "preset is None, not a string"),
        (lambda: mxfp4.quantize(X, scale=3), "scale is 3, not a string"),
        (lambda: mxfp4.quantize(X, nonfinite=None), "nonfinite is None, not a string"),
        (lambda: mxfp4.quantize(X, threads=1.5), "threads is 1.5, not a whole number"),
        (lambda: mxfp4.quantize(None), "quantize: x is no array in this computer's memory, but <class 'NoneType'>"),
        (lambda: mxfp4.Linear.from_checkpoint(MODEL, 3), "name is 3, not a string"),
        (lambda: mxfp4.Mlp.from_checkpoint(MODEL, "0"), "layer is '0', not a whole number"),
        (lambda: mxfp4.Router(X, top_k="2"), "top_k is '2', not a whole number"),
        (lambda: mxfp4.Router(X, top_k=1, score=None), "score is None, not a string"),
        (lambda: mxfp4.open(None), "path is None, not a path"),
        (lambda: mxfp4.open(MODEL, convention=3), "convention is 3, not a string"),
        (lambda: mxfp4.save("x.safetensors", {}, progress=3), "progress is 3, not a function"),
        (lambda: mxfp4.quantize_checkpoint(3, "out"), "source is 3, not a path"),
        (lambda: mxfp4.quantize_checkpoint(MODEL, "out", max_memory="2G"), "max_memory is '2G', not a whole number"),
        (lambda: mxfp4.quantize_checkpoint(MODEL, "out", include=[3]), "one of include is 3, not a string"),
        (lambda: mxfp4.convert_checkpoint(MODEL, "out", None), "format is None, not a string"),
    ],
)
def test_a_wrong_type_is_told_with_name_and_value(call, message: str):
    with pytest.raises(TypeError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"format": "best"}, "^format best: unknown"),
        ({"exclude": ["nothing"]}, "^exclude nothing"),
        ({"rules": {"lm_head": "best"}}, "^rules: 'best' is neither"),
        ({"max_memory": -1}, "^max_memory is -1, not between"),
    ],
)
def test_errors_of_jobs_name_arguments_and_no_flags(options, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=message) as error:
        mxfp4.quantize_checkpoint(MODEL, tmp_path / "out", **options)
    assert "--" not in str(error.value).replace(str(tmp_path), "")


def test_a_file_that_is_called_like_a_flag_keeps_its_name(tmp_path: Path):
    out = tmp_path / "models--resume--overwrite"
    mxfp4.save(out, {"w": X})
    with pytest.raises(ValueError, match="models--resume--overwrite: exists already; overwrite=True replaces it$"):
        mxfp4.save(out, {"w": X})
    with pytest.raises(MemoryError, match="^max_memory of 1000 bytes is too small"):
        mxfp4.quantize_checkpoint(MODEL, tmp_path / "more", max_memory=1000)
