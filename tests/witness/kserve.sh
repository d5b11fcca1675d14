#!/bin/bash
# kserve.sh [COMMAND...]: run a command while KServe's model server serves a model that doubles, at
# WITNESS_KSERVE_URL.
. "$(dirname "$0")/lib.sh"
need kserve kserve==0.21.0
read -r port <<<"$(free 1)"
with_server kserve WITNESS_KSERVE_URL "http://127.0.0.1:$port" "http://127.0.0.1:$port/v2/health/ready" \
  "$WITNESS/kserve/bin/python" "$(dirname "$0")/programs/kserve_model.py" \
  --http_port "$port" --enable_grpc false --model_name double -- "$@"
