"""A certificate authority of our own and a certificate for localhost, made by openssl for one run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Certificates", "certificates"]


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: whom to trust, and the server's key with its certificate."""

    authority: str
    server: str


@contextmanager
def certificates() -> Iterator[Certificates]:
    """Files that are there as long as the context."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        use = "-addext keyUsage=critical,keyCertSign"
        _openssl(folder, f"req -x509 {key} -days 2 -keyout ca.key -out ca.pem -subj /CN=benchmarks {use}")
        _openssl(folder, f"req {key} -keyout server.key -out server.csr -subj /CN=localhost")
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names"
        _openssl(folder, f"x509 -req -in server.csr {sign} -out server.crt")
        both = (folder / "server.key").read_text() + (folder / "server.crt").read_text()
        (folder / "server.pem").write_text(both)
        yield Certificates(str(folder / "ca.pem"), str(folder / "server.pem"))


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
