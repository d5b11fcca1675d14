# What the scripts of this folder share. Environments, data and logs are under $WITNESS, by default a folder
# of the temporary directory; servers listen on the loopback interface only, and end with the command.
set -euo pipefail
WITNESS="${WITNESS:-${TMPDIR:-/tmp}/asyncapi-witness}"
PYTHON="${PYTHON:-python3}"
mkdir -p "$WITNESS"

# need NAME REQUIREMENT...: an environment of its own with these packages, made once.
need() {
  local venv="$WITNESS/$1" stamp="$WITNESS/$1/.stamp"
  shift
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$*" ] && return 0
  if command -v uv >/dev/null 2>&1; then
    uv venv -q --allow-existing --python "$PYTHON" "$venv"
    uv pip install -q --python "$venv/bin/python" "$@" >&2
  else
    "$PYTHON" -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "$@" >&2
  fi
  echo "$*" >"$stamp"
}

# free COUNT: that many free ports, in one line.
free() {
  "$PYTHON" -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))' "$1"
}

# ready URL PID LOG: wait until the server answers 200.
ready() {
  "$PYTHON" - "$@" <<'PY'
import os, sys, time, urllib.request

url, pid, log = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(240):
    try:
        sys.exit(opener.open(url, timeout=2).status != 200)
    except OSError:
        time.sleep(0.25)
    try:
        os.kill(int(pid), 0)
    except OSError:
        break
sys.exit(f"{url} is not ready:\n" + "".join(open(log, errors="replace").readlines()[-10:]))
PY
}

# stop PID: politely, but not for long: nobody needs what it would still write.
stop() {
  kill -TERM "$1" 2>/dev/null || true
  for _ in {1..20}; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# with_server NAME VARIABLE URL READY_URL SERVER... -- COMMAND...: run the command with the server's URL.
# What $CLEAN names is removed afterwards.
with_server() {
  local name="$1" variable="$2" url="$3" ready_url="$4" server=() log="$WITNESS/$1.log" status=0
  shift 4
  while [ "$1" != -- ]; do
    server+=("$1")
    shift
  done
  shift
  [ $# -gt 0 ] || set -- "$PYTHON" -m pytest -m witness "$(dirname "${BASH_SOURCE[0]}")"
  "${server[@]}" >"$log" 2>&1 </dev/null &
  local pid=$!
  trap "stop $pid; rm -rf ${CLEAN:-}" EXIT
  ready "$ready_url" "$pid" "$log"
  echo "$name is ready at $url" >&2
  env "$variable=$url" "$@" || status=$?
  return "$status"
}
