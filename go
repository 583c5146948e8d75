#!/bin/bash
# The way in: builds, tests and shows mxfp4, and installs what is missing for that. Logs go to build/log/.
cd "$(dirname "$(readlink -f "$0")")" && . .ci/steps.sh || exit 3

usage() {
  cat <<'END'
./go build               build the command-line tool: build/bin/mxfp4
./go demo                turn a real model into MXFP4 and back, with figures
./go test                build everything, the Python package too, and run every test
./go test --with-torch   the same, and PyTorch is installed for its tests even if pip has no CPU build of it

Missing packages are installed: Debian's with apt-get (as root, or through sudo), Python's into .venv.
END
}

build_tool() {
  need_to_build && step "build the tool" build release mxfp4_tool && link_tool
}

link_tool() {
  mkdir -p build/bin && ln -sfn ../release/bin/mxfp4 build/bin/mxfp4
}

show_demo() {
  build_tool && need_python numpy safetensors && need_real_model && $python examples/demo.py
}

run_tests() {
  if need_to_build && need_for_tests && need_torch "$@" && need_transformers && step "build" build release && link_tool &&
    step "build the Python package" build_python; then
    need_real_model || echo "    the tests of a real model will be skipped"
    unit_tests release
    python_tests release tests
  else
    failed=1
  fi
  summary
}

case "$*" in
  build) build_tool ;;
  demo) show_demo ;;
  test) run_tests ;;
  'test --with-torch') run_tests --with-torch ;;
  '' | help | -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
