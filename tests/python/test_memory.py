"""No hidden copies of large arrays, and nothing that stays behind."""

import pytest
from programs import python

# Each case is measured in one process, by the peak of its resident memory from just before the call.
MEASURE = """
import numpy as np, mxfp4, ml_dtypes, sys

def peak_of(call):
    "Bytes by which the peak exceeds what was resident before, and the call's result."
    call(small=True)  # threads and tables
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak
    def status(name):
        with open("/proc/self/status") as file:
            return int(next(line for line in file if line.startswith(name)).split()[1]) << 10
    before = status("VmRSS:")
    result = call(small=False)
    return status("VmHWM:") - before, result

N, K = 8192, 8192
dense = np.ones((N, K), np.float32)
t = mxfp4.quantize(dense)
half = dense.astype(np.float16)
"""

CASES = {
    "float32": "lambda small: mxfp4.quantize(dense[:64] if small else dense)",
    "bfloat16": "lambda small, x=half.view(np.uint16).view(ml_dtypes.bfloat16): mxfp4.quantize(x[:64] if small else x)",
    "strided": "lambda small: mxfp4.quantize(dense[:64, ::2] if small else dense[:, ::2])",
    "transposed": "lambda small: mxfp4.quantize(dense[:64].T if small else dense.T, axis=0)",
    "read-only": "lambda small, x=(half.setflags(write=False), half)[1]: mxfp4.quantize(x[:64] if small else x)",
    "dequantize": "lambda small: mxfp4.quantize(dense[:64]).dequantize() if small else t.dequantize()",
    "dequantize, transposed": "lambda small: (mxfp4.quantize(dense[:64]) if small else t).dequantize(transpose=True)",
    "dequantize, out": "lambda small: mxfp4.quantize(dense[:64]).dequantize() if small else (t.dequantize(out=dense), 0)[1]",
    "error_stats": "lambda small: 0 if small else (mxfp4.error_stats(dense, t), 0)[1]",
    "Linear": "lambda small: mxfp4.Linear(t)(half[:1]) if small else (mxfp4.Linear(t, pack=False)(half[:1]), 0)[1]",
    "save": "lambda small: 0 if small else (mxfp4.save(sys.argv[1], {'w': dense.T, 't.weight': t}), 0)[1]",
}
SLACK = 12 << 20
TORCH = {
    "torch, bfloat16": "lambda small, x=torch.full((N, K), 1.0, dtype=torch.bfloat16): mxfp4.quantize(x[:64] if small else x)",
    "torch, dequantize": "lambda small: (mxfp4.quantize(dense[:64]) if small else t).torch('bfloat16')",
    "torch, out": "lambda small, x=torch.full((N, K), 1.0): 0 if small else (mxfp4.dequantize(t, out=x), 0)[1]",
}


def measured(case: str) -> tuple[int, int]:
    """Bytes of the peak beyond what was resident, and of the result."""
    out = python(f"{MEASURE}\npeak, result = peak_of({case})\nprint(peak, getattr(result, 'nbytes', 0))")
    peak, result = out.split()
    return int(peak), int(result)


@pytest.mark.parametrize("case", TORCH)
def test_a_large_tensor_of_torchs_is_not_copied(case: str):
    pytest.importorskip("torch", reason="torch is not installed")
    peak, result = measured(f"(globals().update(torch=__import__('torch')), {TORCH[case]})[1]")
    assert peak < result + SLACK


@pytest.mark.parametrize("case", CASES)
def test_a_large_array_is_not_copied(case: str, tmp_path):
    """The peak is the result, and little beside: the input alone has 64 to 256 MiB, the codes of it 32."""
    peak, result = measured(CASES[case].replace("sys.argv[1]", repr(str(tmp_path / "x.safetensors"))))
    assert peak < result + SLACK


LOOP = """
import gc, pickle, sys, tempfile
import numpy as np, mxfp4

x = np.ones((4, 64), np.float32)
bias = np.ones(4, np.float32)
path = tempfile.mkdtemp() + "/x.safetensors"
mxfp4.save(path, {"w": mxfp4.quantize(x), "d": x})
out = np.empty_like(x)
three = mxfp4.quantize(np.ones((2, 64, 64), np.float32))

def failing(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except (ValueError, TypeError, OSError):
        return
    raise AssertionError

def once():
    t = mxfp4.quantize(x, reference=mxfp4.quantize(x), importance=np.ones(64))
    t.dequantize(out=out), t.dequantize(transpose=True), mxfp4.error_stats(x, t)
    pickle.loads(pickle.dumps(t))
    for pack in (True, False):
        mxfp4.Linear(t, bias, pack=pack)(x)
    mxfp4.Experts((three, three), three)(x, np.zeros((4, 1)), np.ones((4, 1)))
    mxfp4.Router(x, top_k=2)(x)
    model = mxfp4.open(path)
    w, d = model["w"], model["d"]
    mxfp4.Linear.from_checkpoint(model, "w", pack=False)(d)
    failing(mxfp4.quantize, x, preset="best"), failing(mxfp4.quantize, [1.0]), failing(mxfp4.open, "/nowhere")
    failing(t.dequantize, out=x[:, ::2]), failing(mxfp4.quantize, x, importance=np.ones(3))

def save():
    mxfp4.save(path, {"w": mxfp4.quantize(x), "d": x}, overwrite=True, progress=lambda done, total: None)

def resident():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS:")).split()[1])

def check(call, times):
    for _ in range(times):
        call()  # until every cache and free list has what it wants
    gc.collect()
    objects = (x, bias, out, mxfp4.Tensor, mxfp4.Checkpoint, mxfp4.Linear, three.codes)
    counts, blocks, before = [sys.getrefcount(o) for o in objects], sys.getallocatedblocks(), resident()
    for _ in range(times):
        call()
    gc.collect()
    assert all(sys.getrefcount(o) - count < 20 for o, count in zip(objects, counts)), counts
    assert sys.getallocatedblocks() - blocks < times / 2, sys.getallocatedblocks() - blocks
    assert resident() - before < 4096, resident() - before

check(once, 400)
check(save, 40)
"""


@pytest.mark.parametrize("allocator", ["malloc_debug", "pymalloc_debug"])
def test_nothing_leaks(allocator: str):
    """Reference counts, blocks of Python's and resident memory stand still, with allocators that check what is freed;
    nanobind tells of objects that are left at the end on stderr."""
    env = {"PYTHONMALLOC": allocator, "MALLOC_ARENA_MAX": "1", "OMP_WAIT_POLICY": "passive"}  # or each call waits for others
    assert python(LOOP, "-X", "dev", env=env) == ""


def test_views_of_a_file_keep_it_mapped_no_longer_than_they_live(tmp_path):
    script = f"""
import gc, numpy as np, mxfp4
path = {str(tmp_path / "x.safetensors")!r}
mxfp4.save(path, {{"w": mxfp4.quantize(np.ones((64, 64), np.float32))}})
mapped = lambda: path in open("/proc/self/maps").read()
model = mxfp4.open(path)
t = model["w"]
layer = mxfp4.Linear.from_checkpoint(model, "w", pack=False)
del model; gc.collect(); assert mapped()
del t; gc.collect(); assert mapped()
layer(np.ones(64, np.float32))
del layer; gc.collect(); assert not mapped()
"""
    assert python(script) == ""
