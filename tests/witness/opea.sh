#!/bin/bash
# opea.sh [COMMAND...]: run a command while services of OPEA's framework run: an LLM at WITNESS_OPEA_LLM_URL,
# embeddings at WITNESS_OPEA_EMBED_URL, ChatQnA at WITNESS_OPEA_QNA_URL.
. "$(dirname "$0")/lib.sh"
need opea opea-comps==1.5
serve() { # serve KIND VARIABLE LLM_PORT COMMAND...
  local kind="$1" variable="$2" llm="$3" port
  shift 3
  read -r port <<<"$(free 1)"
  with_server "opea_$kind" "$variable" "http://127.0.0.1:$port/v1" "http://127.0.0.1:$port/v1/health_check" \
    "$WITNESS/opea/bin/python" "$(dirname "$0")/programs/opea_services.py" "$kind" "$port" "$llm" -- "$@"
}
if [ -z "${WITNESS_OPEA_LLM_URL:-}" ]; then
  serve llm WITNESS_OPEA_LLM_URL 0 "$0" "$@"
elif [ -z "${WITNESS_OPEA_EMBED_URL:-}" ]; then
  serve embedding WITNESS_OPEA_EMBED_URL 0 "$0" "$@"
else
  port="${WITNESS_OPEA_LLM_URL#http://127.0.0.1:}"
  serve chatqna WITNESS_OPEA_QNA_URL "${port%/v1}" "$@"
fi
