#!/usr/bin/env bash
# The instruction sets, those that this processor lacks too. engine_test runs here and under qemu-user: AVX2 with the
# width of AVX-512, an old x86-64, NEON; then the installed package on old processors.
#
#   run.sh PYTHON     PYTHON has ketgrad with its native core; cmake and ninja are on the PATH
#   run.sh --tools    only say which tools are missing; status 3 if any is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=build/isa

missing=()
needed=(cmake ninja qemu-aarch64)
case $(uname -m) in
x86_64) needed+=(aarch64-linux-gnu-g++ qemu-x86_64) ;;
aarch64 | arm64) needed=(cmake ninja) ;;
*) echo "instruction sets are chosen on x86-64 and 64-bit ARM only, this is $(uname -m)" && exit 3 ;;
esac
[ "${1:-}" != --tools ] || needed=("${needed[@]:2}") # make test-isa has its own cmake and ninja
for tool in "${needed[@]}"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
  echo "missing: ${missing[*]}; on Debian and Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user" >&2
  exit 3
fi
[ "${1:-}" != --tools ] || exit 0
python=${1:?which Python?}

quietly() { # log, command...
  "${@:2}" >"$1" || { cat "$1" && exit 1; }
}

compile() { # folder, options of cmake...
  quietly "$build/$1.log" cmake -S . -B "$build/$1" -G Ninja -DKETGRAD_ENGINE_TEST=ON "${@:2}"
  quietly "$build/$1.log" cmake --build "$build/$1"
}

emulated() { # processor, command...
  qemu-x86_64 -cpu "$1" "${@:2}" 2> >(grep -v "TCG doesn't support" >&2)
}

mkdir -p "$build"
if [ "$(uname -m)" != x86_64 ]; then
  compile neon
  echo "= this processor" && "$build/neon/engine_test" 500 neon
  echo "not run: x86-64, which is checked on x86-64"
  exit 0
fi

compile x86 -DKETGRAD_LOWERED=ON
object=$build/x86/CMakeFiles/engine_test.dir/csrc/kernels_avx512.cpp.o
[ -e "$object" ] || { echo "AVX-512 was not compiled: see $build/x86" && exit 1; }
echo "= this processor; AVX-512 is compiled in any case" && "$build/x86/engine_test" 500
echo "= x86-64 with AVX2" && emulated Haswell "$build/x86/engine_test" 12 baseline,avx512-lowered,avx2
echo "= x86-64 of 2008" && emulated Nehalem "$build/x86/engine_test" 50 baseline

compile aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
echo "= 64-bit ARM" && qemu-aarch64 "$build/aarch64/engine_test" 100 neon

# numpy's OpenBLAS takes the emulated processor for a Haswell where the real one is an AMD's, and dies of it
echo "= the package on x86-64 of 2008" &&
  OPENBLAS_CORETYPE=Nehalem emulated Nehalem "$python" tests/native/old_processor.py runs
echo "= the package on x86-64 of 2006" && emulated Conroe "$python" tests/native/old_processor.py refused
