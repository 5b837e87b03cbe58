#!/usr/bin/env bash
# Builds illumine with CUDA from nothing, without a GPU or a driver, and tries what it does then:
# a CUDA device that is asked for by name is refused in one sentence, and without a name the CPU
# writes. About 20 minutes of processor time and 4 GB of disk; needs cargo, gcc, python3 and pip.
#
#     tests/live/cuda.sh [FOLDER]      the folder keeps what was built (default: target/cuda)
#
# On a machine with a GPU, set CUDA_COMPUTE_CAP to its own and run the binary with the folder's
# libraries on LD_LIBRARY_PATH, but without the stub. CUDA 13 needs a driver of R580 or later.
set -euo pipefail
cd "$(dirname "$0")/../.."
FOLDER=$(mkdir -p "${1:-target/cuda}" && cd "${1:-target/cuda}" && pwd)

[ -d "$FOLDER/venv" ] || python3 -m venv "$FOLDER/venv"
"$FOLDER/venv/bin/pip" install --quiet --no-deps \
    nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-cccl==13.0.85 \
    nvidia-curand==10.4.5.25 nvidia-cublas==13.1.0.3
R=$("$FOLDER/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/nvidia/cu13

# The wheels name libraries as programs load them; linkers want them without a version.
for library in libcublas.so.13 libcublasLt.so.13 libcudart.so.13 libcurand.so.10 libnvrtc.so.13; do
    ln -sf "$library" "$R/lib/${library%%.so*}.so"
done
ln -sfn lib "$R/lib64"

# A driver that says "no device" (100) to everything that cudarc may call.
cargo fetch --quiet
STUB="$FOLDER/stub"
mkdir -p "$STUB"
CUDARC=$(cargo metadata --format-version 1 --features cuda |
    python3 -c 'import json, sys, os; print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
grep -rhoE 'fn cu[A-Z][A-Za-z0-9_]*' "$CUDARC/src/driver/sys" | awk '{print $2}' | sort -u |
    awk '{print "int " $1 "(void) { return 100; }"}' > "$STUB/stub.c"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$STUB/libcuda.so" "$STUB/stub.c"
ln -sf libcuda.so "$STUB/libcuda.so.1"

export CUDA_HOME=$R CUDA_ROOT=$R CUDA_PATH=$R NVCC=$R/bin/nvcc PATH=$R/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} LIBRARY_PATH=$R/lib:$STUB
export CARGO_TARGET_DIR=$FOLDER/target
nice -n 15 cargo build --release --features cuda

export LD_LIBRARY_PATH=$R/lib:$STUB
ILLUMINE="$CARGO_TARGET_DIR/release/illumine"
if said=$("$ILLUMINE" write --device cuda --max-tokens 4 "The lamp" 2>&1); then
    echo "a CUDA device was found where none should be: $said" >&2
    exit 1
fi
case $said in
*"No CUDA device can be used here"*) ;;
*) echo "not the sentence that a missing device deserves: $said" >&2; exit 1 ;;
esac
"$ILLUMINE" write --max-tokens 4 "The lamp"
echo
echo "built with CUDA; without a device the CPU writes"
