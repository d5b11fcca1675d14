"""One transport belongs to one loop, and leaves nothing behind when it is closed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import uvloop

from asyncapi.abc import Transport
from asyncapi.errors import ClientClosedError, ConfigError, ConnectionLostError
from asyncapi.transports.http import HTTPTransport
from asyncapi.types.wire import Outgoing

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def once(transport: Transport) -> bytes:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        url = f"http://127.0.0.1:{port}/"
        return (await transport.send(Outgoing(method="GET", url=url, headers={}, body=None))).body
    finally:
        await transport.aclose()
        server.close()
        await asyncio.sleep(0.01)


def test_two_runs_in_a_row_with_two_transports(kind: type[HTTPTransport]) -> None:
    """Each asyncio.run, on either kind of loop, works with a transport of its own, made before it."""
    assert asyncio.run(once(kind())) == b"ok"
    assert asyncio.run(once(kind())) == b"ok"
    assert uvloop.run(once(kind())) == b"ok"


def test_other_loop_is_a_config_error(kind: type[HTTPTransport]) -> None:
    """A transport opened in one loop says so in another, and can still be closed there."""
    transport = kind()
    request = Outgoing(method="GET", url="http://127.0.0.1:9/", headers={}, body=None)

    async def use() -> None:
        await transport.send(request)

    async def open_session() -> None:
        transport._open_session()

    asyncio.run(open_session())
    with pytest.raises(ConfigError, match="another event loop"):
        asyncio.run(use())
    asyncio.run(transport.aclose())


async def test_closed_transport_refuses(kind: type[HTTPTransport], serve: Any, ask: Any) -> None:
    """After aclose, which may be called twice and before any use, nothing is sent."""
    transport = kind()
    await transport.aclose()
    await transport.aclose()

    with pytest.raises(ClientClosedError):
        await transport.send(ask(await serve(OK)))
    assert serve.connections == 0


async def test_closing_ends_what_is_in_flight(kind: type[HTTPTransport], serve: Any, ask: Any) -> None:
    """A request that waits for its answer loses it; one that waits for a connection is refused."""
    transport = kind(limit=1)
    asked = asyncio.Event()

    async def silent(peer: Any) -> None:
        await peer.request()
        asked.set()
        await peer.left()

    port = await serve(silent)
    first = asyncio.create_task(transport.send(ask(port)))
    await asked.wait()
    second = asyncio.create_task(transport.send(ask(port)))
    await asyncio.sleep(0)
    await transport.aclose()
    results = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(result) for result in results] == [ConnectionLostError, ClientClosedError]


async def test_closing_ends_a_body_on_its_way(kind: type[HTTPTransport], serve: Any, ask: Any) -> None:
    """Who waits for the rest of an answer is told; he would wait for ever."""
    transport = kind()
    port = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
    call = asyncio.create_task(transport.send(ask(port)))
    await asyncio.sleep(0.05)
    await transport.aclose()

    with pytest.raises(ConnectionLostError, match="before it was whole"):
        await call
    assert not transport._bodies


async def test_closing_ends_open_streams(kind: type[HTTPTransport], serve: Any, ask: Any) -> None:
    """A stream that is still open is closed with its transport."""
    transport = kind()
    port = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
    stream = await transport.open(ask(port))
    assert await stream.read() == b"ok"
    await transport.aclose()

    with pytest.raises(ConnectionLostError, match="closed here"):
        await stream.read()


async def test_waiting_for_a_connection_can_be_cancelled(
    kind: type[HTTPTransport], serve: Any, ask: Any
) -> None:
    """A cancellation while waiting for a connection passes untouched."""
    transport = kind(limit=1)
    asked = asyncio.Event()

    async def silent(peer: Any) -> None:
        await peer.request()
        asked.set()
        await peer.left()

    port = await serve(silent)
    first = asyncio.create_task(transport.send(ask(port)))
    await asked.wait()
    second = asyncio.create_task(transport.send(ask(port)))
    await asyncio.sleep(0)
    for task in (second, first):
        task.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    await transport.aclose()

    assert all(isinstance(result, asyncio.CancelledError) for result in results)


SCRIPT = """
import asyncio, gc, ssl, sys, uvloop
from asyncapi.transports.direct import DirectTransport
from asyncapi.transports.http import HTTPTransport
from asyncapi.types.wire import Outgoing

loop, name, scheme, ca, certificate, key = sys.argv[1:]
OK = b"HTTP/1.1 200 OK\\r\\n%sContent-Length: 2\\r\\n\\r\\nok"

async def handler(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            if b"/stream" in head:
                writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nok\\r\\n")
            else:
                writer.write(OK % (b"Connection: close\\r\\n" if b"/last" in head else b""))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    asyncio.get_running_loop().slow_callback_duration = 10  # a busy machine is no news
    context = None
    if scheme == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    base = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = {"HTTPTransport": HTTPTransport, "DirectTransport": DirectTransport}[name](ca_file=ca)
    def ask(path):
        return Outgoing(method="GET", url=base + path, headers={}, body=None)
    await asyncio.gather(*(transport.send(ask("/")) for _ in range(5)))
    left, open_ = [await transport.open(ask("/stream")) for _ in range(2)]
    left.close()
    await open_.read()
    await transport.send(ask("/last"))
    await transport.aclose()
    server.close()

(uvloop if loop == "uvloop" else asyncio).run(main())
gc.collect()
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_development_mode_has_nothing_to_say(
    kind: type[HTTPTransport], loop: str, scheme: str, authority: Any
) -> None:
    """Idle, abandoned, open and just closed connections are all gone after aclose: no ResourceWarning."""
    words = [
        loop,
        kind.__name__,
        scheme,
        str(authority.ca_file),
        str(authority.certificate),
        str(authority.key),
    ]

    shown = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(SCRIPT), *words], capture_output=True, text=True
    )

    assert (shown.stdout, shown.stderr) == ("done\n", "")


@pytest.mark.slow
async def test_deaf_tls_peer_does_not_hold_up_closing(
    kind: type[HTTPTransport], serve: Any, ask: Any, authority: Any
) -> None:
    """A peer that never answers the TLS goodbye is cut after a second."""
    transport = kind(ca_file=authority.ca_file)
    release = asyncio.Event()

    async def deaf(peer: Any) -> None:
        await peer.request()
        await peer.say(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        peer.writer.transport.pause_reading()
        await release.wait()
        peer.writer.transport.abort()

    await transport.send(ask(await serve(deaf, authority.server), scheme="https"))
    started = asyncio.get_running_loop().time()
    await transport.aclose()
    release.set()

    assert asyncio.get_running_loop().time() - started < 1.5
