#!/bin/bash
# moto.sh [COMMAND...]: run a command (by default the witness tests) while moto's server runs, at WITNESS_MOTO_URL.
. "$(dirname "$0")/lib.sh"
need moto 'moto[s3,server]==5.2.5'
read -r port <<<"$(free 1)"
with_server moto WITNESS_MOTO_URL "http://127.0.0.1:$port" "http://127.0.0.1:$port/moto-api/" \
  "$WITNESS/moto/bin/moto_server" -H 127.0.0.1 -p "$port" -- "$@"
