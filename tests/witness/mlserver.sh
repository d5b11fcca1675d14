#!/bin/bash
# mlserver.sh [COMMAND...]: run a command while Seldon's MLServer serves a model that doubles, at
# WITNESS_MLSERVER_URL.
. "$(dirname "$0")/lib.sh"
need mlserver mlserver==1.7.1
read -r http grpc metrics <<<"$(free 3)"
data="$WITNESS/mlserver-models"
mkdir -p "$data/double"
cp "$(dirname "$0")/programs/mlserver_model.py" "$data/double/"
cat >"$data/settings.json" <<JSON
{"host": "127.0.0.1", "http_port": $http, "grpc_port": $grpc, "metrics_port": $metrics, "parallel_workers": 0}
JSON
cat >"$data/double/model-settings.json" <<JSON
{"name": "double", "implementation": "mlserver_model.Double"}
JSON
PYTHONPATH="$data/double" with_server mlserver WITNESS_MLSERVER_URL "http://127.0.0.1:$http" \
  "http://127.0.0.1:$http/v2/models/double/ready" "$WITNESS/mlserver/bin/mlserver" start "$data" -- "$@"
