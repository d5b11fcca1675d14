#!/bin/bash
# transformers.sh [COMMAND...]: run a command (by default the witness tests) while `transformers serve` serves
# a tiny model on the CPU, at WITNESS_TRANSFORMERS_URL. It needs 1 GB.
. "$(dirname "$0")/lib.sh"
need transformers torch==2.13.0 'transformers[serving]==5.23.0'
models="$WITNESS/transformers-models"
tiny_transformers transformers "$models"
# The hub's cache in its own form, so that the model has a name, and is listed.
export READY_SECONDS=300 HF_HUB_OFFLINE=1 HF_HUB_CACHE="$models/hub"
mkdir -p "$HF_HUB_CACHE/models--m/refs" "$HF_HUB_CACHE/models--m/snapshots/tiny"
printf tiny >"$HF_HUB_CACHE/models--m/refs/main"
cp "$models/chat/"* "$HF_HUB_CACHE/models--m/snapshots/tiny/"
read -r port <<<"$(free 1)"
with_server transformers WITNESS_TRANSFORMERS_URL "http://127.0.0.1:$port" "http://127.0.0.1:$port/health" \
  "$WITNESS/transformers/bin/transformers" serve m --host 127.0.0.1 --port "$port" --device cpu -- "$@"
