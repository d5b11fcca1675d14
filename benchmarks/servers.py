"""The targets as processes of their own on the other core: nginx, or the asyncio server.

nginx (1.18 or newer, found on PATH or named by ``BENCHMARKS_NGINX``) answers plain calls; what it
can't do (streams, service times, embeddings) the asyncio server does, which also stands in for it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.certificates import Certificates
from benchmarks.measure import pin
from benchmarks.target import CHAT

__all__ = ["Server", "nginx_path", "plain_server", "target"]

_NGINX = """daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 3600; server_tokens off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} backlog=16384{ssl};
        {certificate}
        location / {{ default_type application/json; return 200 '{body}'; }}
    }}
}}
"""


class Server:
    """A running target.

    State: the CPU that its process had used when ``watch`` was called, and when that was.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, kind: str, ca: str | None) -> None:
        self._pid = process.pid
        self.url = url
        self.kind = kind
        self.ca = ca
        self.watch()

    def watch(self) -> None:
        """Count from now."""
        self._cpu, self._clock = self._used(), time.perf_counter()

    @property
    def busy(self) -> float:
        """The share of its core that it used since ``watch``; near 1 it would be the bottleneck."""
        return (self._used() - self._cpu) / max(1e-9, time.perf_counter() - self._clock)

    def _used(self) -> float:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # no Linux
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nginx_path() -> str | None:
    """Where nginx is, if it is here."""
    return os.environ.get("BENCHMARKS_NGINX") or shutil.which("nginx", path=f"{os.defpath}:/usr/sbin")


@contextmanager
def plain_server(certificates: Certificates | None = None) -> Iterator[Server]:
    """The fastest server of a fixed chat completion that there is here."""
    path = nginx_path()
    if path is None:
        with target(certificates=certificates) as server:
            yield server
        return
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        held.close()
        pem = certificates.server if certificates else ""
        text = _NGINX.format(
            folder=folder,
            port=port,
            ssl=" ssl" if pem else "",
            certificate=f"ssl_certificate {pem}; ssl_certificate_key {pem};" if pem else "",
            body=CHAT.decode(),
        )
        Path(folder, "nginx.conf").write_text(text)
        process = subprocess.Popen(
            [path, "-p", folder, "-c", f"{folder}/nginx.conf"], text=True, preexec_fn=lambda: pin(1)
        )
        try:
            _wait_for(port)
            url = f"{'https://localhost' if pem else 'http://127.0.0.1'}:{port}/v1"
            yield Server(process, url, "nginx", certificates.authority if certificates else None)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def target(
    delay: float = 0.0, gap: float = 0.0, certificates: Certificates | None = None
) -> Iterator[Server]:
    """The asyncio server. Units: ``delay`` (service time) and ``gap`` (between chunks) in seconds."""
    command = [sys.executable, "-m", "benchmarks.target", "--delay", str(delay), "--gap", str(gap)]
    if certificates is not None:
        command += ["--certificate", certificates.server]
    root = str(Path(__file__).parent.parent)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        yield Server(process, url, "asyncio", certificates.authority if certificates else None)
    finally:
        process.terminate()
        process.communicate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("nginx did not start")
