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
    # uv does not read pip's setting.
    uv pip install -q --python "$venv/bin/python" ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} "$@" >&2
  else
    "$PYTHON" -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "$@" >&2
  fi
  echo "$*" >"$stamp"
}

# packages NAME: the folder that an environment's packages are in.
packages() {
  "$WITNESS/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

# tiny_transformers NAME FOLDER: models in Hugging Face's form, made once, with that environment's packages.
tiny_transformers() {
  local program
  program="$(dirname "${BASH_SOURCE[0]}")/programs/tiny_transformers.py"
  [ -d "$2/chat" ] || "$WITNESS/$1/bin/python" "$program" "$2" >&2
}

# free COUNT: that many free ports, in one line.
free() {
  "$PYTHON" -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))' "$1"
}

# ready URL PID LOG: wait until the server answers 200 (or $READY_STATUS), for a minute (or $READY_SECONDS).
ready() {
  "$PYTHON" - "$@" "${READY_STATUS:-200}" "${READY_SECONDS:-60}" <<'PY'
import os, sys, time, urllib.error, urllib.request

url, pid, log, status, seconds = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(4 * int(seconds)):
    try:
        sys.exit(opener.open(url, timeout=2).status != int(status))
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == int(status):
            sys.exit(0)
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
