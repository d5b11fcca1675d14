#!/bin/bash
# llama.sh [COMMAND...]: run a command (by default the witness tests) while llama.cpp serves tiny models that
# chat, embed and rank, at WITNESS_LLAMA_URL, WITNESS_LLAMA_EMBED_URL and WITNESS_LLAMA_RANK_URL.
. "$(dirname "$0")/lib.sh"
need llama xllamacpp==2026.10.11549 gguf==0.19.0 numpy
programs="$(cd "$(dirname "$0")" && pwd)/programs"
models="$WITNESS/models"
[ -f "$models/rank.gguf" ] || "$WITNESS/llama/bin/python" "$programs/tiny_models.py" "$models"
serve() { # serve KIND VARIABLE COMMAND...
  local kind="$1" variable="$2" port
  shift 2
  read -r port <<<"$(free 1)"
  with_server "llama_$kind" "$variable" "http://127.0.0.1:$port" "http://127.0.0.1:$port/health" \
    "$WITNESS/llama/bin/python" "$programs/llama_server.py" "$models/$kind.gguf" "$port" "$kind" -- "$@"
}
if [ -z "${WITNESS_LLAMA_URL:-}" ]; then
  serve chat WITNESS_LLAMA_URL "$0" "$@"
elif [ -z "${WITNESS_LLAMA_EMBED_URL:-}" ]; then
  serve embed WITNESS_LLAMA_EMBED_URL "$0" "$@"
else
  serve rank WITNESS_LLAMA_RANK_URL "$@"
fi
