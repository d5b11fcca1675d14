#!/bin/bash
# ollama_proxy.sh [COMMAND...]: run a command while a third party's server of Ollama's API stands before
# llama.cpp (run llama.sh around it), at WITNESS_OLLAMA_URL. Its model is vllm/tiny-random.
. "$(dirname "$0")/lib.sh"
need ollama_proxy ollama-proxy-plus==0.1.0
read -r port <<<"$(free 1)"
export PROVIDERS_VLLM_BASE_URL="$WITNESS_LLAMA_URL/v1" PROVIDERS_VLLM_API_KEY=k EXTRA_MODELS=vllm/tiny-random
with_server ollama_proxy WITNESS_OLLAMA_URL "http://127.0.0.1:$port" "http://127.0.0.1:$port/api/version" \
  "$WITNESS/ollama_proxy/bin/ollama-proxy" serve --host 127.0.0.1 --port "$port" -- "$@"
