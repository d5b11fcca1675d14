"""Real sockets on the loopback interface: servers that answer byte for byte what a test wants."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncapi.transports.direct import DirectTransport
from asyncapi.transports.http import HTTPTransport
from asyncapi.types.wire import Outgoing


def pytest_asyncio_loop_factories(config: object, item: object) -> Mapping[str, Any]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Peer:
    """One connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """The next request, head and body; raises IncompleteReadError when the client has left."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + await self.reader.readexactly(int(length[0].split(b":")[1]) if length else 0)

    async def say(self, *pieces: bytes) -> None:
        """Send the pieces."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def left(self) -> float:
        """Wait until the client has left; the loop's time then."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        return asyncio.get_running_loop().time()


class Servers:
    """Starts servers, stops them at the end of the test, and counts connections."""

    def __init__(self) -> None:
        self.connections = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(
        self, handler: bytes | Callable[[Peer], Awaitable[None]], tls: ssl.SSLContext | None = None
    ) -> int:
        """The port of a new server. Bytes answer every request, and then the connection stays open."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            peer = Peer(reader, writer)
            try:
                if isinstance(handler, bytes):
                    while True:
                        await peer.request()
                        await peer.say(handler)
                else:
                    await handler(peer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        await asyncio.sleep(0.01)


@pytest.fixture
async def serve() -> AsyncIterator[Servers]:
    servers = Servers()
    yield servers
    await servers.stop()


@pytest.fixture(params=[HTTPTransport, DirectTransport])
def kind(request: pytest.FixtureRequest) -> type[HTTPTransport]:
    """Each HTTP transport in turn: both pass the same tests."""
    made: type[HTTPTransport] = request.param
    return made


@pytest.fixture
async def transport(serve: Servers, kind: type[HTTPTransport]) -> AsyncIterator[HTTPTransport]:
    made = kind()
    yield made
    await made.aclose()


@pytest.fixture
def ask() -> Callable[..., Outgoing]:
    """Makes a request for a port."""

    def make(port: int, *, scheme: str = "http", path: str = "/v1/chat", **given: Any) -> Outgoing:
        settings = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": b"{}"} | given
        return Outgoing(url=f"{scheme}://127.0.0.1:{port}{path}", **settings)

    return make


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, and a server certificate for 127.0.0.1."""

    ca_file: Path
    server: ssl.SSLContext
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl binary to make certificates")
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    use = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 refuses an authority without
    own = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2")
    openssl("req", "-x509", *key, *own, *use)
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "2", "-extfile", "names", "-out", "server.pem"),
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return Authority(folder / "ca.pem", context, folder / "server.pem", folder / "server.key")
