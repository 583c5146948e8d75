#!/bin/bash
# Everything that only a GPU can show, in one run of at most ten minutes and without a network: builds for this machine's
# devices, tests, measures. Stops at the first wrong result. What is built beforehand is not built again.
#
#   bench/cuda.sh [BUILD]        BUILD: the folder to build in, build/cuda-here unless given
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
build=${1:-build/cuda-here}
begin=$SECONDS
mkdir -p "$(dirname "$build")"
part() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - begin)); }

part device
nvidia-smi --query-gpu=name,compute_cap,clocks.max.sm,clocks.max.mem,power.limit,driver_version --format=csv
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sort -u | head -n 1)
case $capability in
  9.0 | 10.0 | 12.0) architecture=${capability/./}a-real ;;
  *) architecture=80-real ;;
esac

part "build for $architecture"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMXFP4_CUDA=ON -DMXFP4_VULKAN=OFF \
  -DMXFP4_CUDA_ARCHITECTURES="$architecture" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
cmake --build "$build" --target mxfp4_tool kernel_test quantize_test layer_test cuda_bench >>"$build.log" 2>&1 ||
  { tail -n 40 "$build.log"; exit 1; }
"$build"/bin/mxfp4 info | sed -n '/devices/,/^$/p'

part tests
# A test that is skipped here for want of a device is a failure.
run() {
  "$@" >"$build.tests" 2>&1 && ! grep -q SKIPPED "$build.tests" && tail -n 1 "$build.tests" && return
  grep -v '  OK \]\|RUN  ' "$build.tests" | tail -n 60
  exit 1
}
export MXFP4_DEVICE=cuda
run "$build"/kernel_test --gtest_filter='OnCudaDevice.*:Cuda*'
run "$build"/quantize_test --gtest_filter='QuantizeOnDevice.*'
run "$build"/layer_test --gtest_filter='LayersOnDevice.*'

part sanitizer
if command -v compute-sanitizer >/dev/null; then
  small='OnCudaDevice.Packs*:OnCudaDevice.EveryKernel*:OnCudaDevice.Multiplies*:OnCudaDevice.AForward*:OnCudaDevice.*AnyAxis*'
  for tool in memcheck racecheck initcheck; do
    echo "$tool"
    run timeout 120 compute-sanitizer --tool $tool --error-exitcode 1 "$build"/kernel_test --gtest_filter="$small"
  done
else
  echo "not run: there is no compute-sanitizer"
fi

part kernels
"$build"/bench/cuda_bench

part "cuBLAS, through torch"
python3 - <<'PYTHON' || echo "not run: there is no torch with CUDA"
import time

import torch

def seconds(body, count=30):
    for _ in range(5):
        body()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(count):
        body()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / count

for n, k, t in [(8192, 8192, 8192), (5760, 2880, 4096), (2880, 2880, 4096), (5760, 2880, 512)]:
    x = torch.randn(t, k, device="cuda", dtype=torch.bfloat16)
    w = torch.randn(n, k, device="cuda", dtype=torch.bfloat16)
    took = seconds(lambda: x @ w.T)
    print(f"{n} x {k}, {t} tokens: {took * 1e6:.1f} us, {2 * n * k * t / took / 1e12:.0f} TFLOP/s")
PYTHON

part done
