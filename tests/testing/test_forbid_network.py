"""Nothing leaves the machine while `forbid_network` is active, on any loop, and all is restored after it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from asyncapi.testing import NetworkForbiddenError, forbid_network

OUTSIDE = "192.0.2.1"  # TEST-NET-1: routed nowhere, should the guard fail
PATCHED = ("connect", "connect_ex", "sendto", "sendmsg", "getaddrinfo")


def loop_factories() -> list[Any]:
    plain = pytest.param(asyncio.new_event_loop, id="asyncio")
    try:
        import uvloop
    except ImportError:
        return [plain, pytest.param(None, id="uvloop", marks=pytest.mark.skip("uvloop is not installed"))]
    return [plain, pytest.param(uvloop.new_event_loop, id="uvloop")]


every_loop = pytest.mark.parametrize("factory", loop_factories())


def run(factory: Callable[[], asyncio.AbstractEventLoop], main: Callable[[], Awaitable[object]]) -> object:
    async def call() -> object:
        return await main()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(call())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize(
    "address",
    [(OUTSIDE, 80), ("example.com", 443), ("::ffff:192.0.2.1", 80), ("2001:db8::1", 80, 0, 0)],
    ids=lambda address: str(address[0]),
)
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_connecting_to_the_outside_is_refused(method: str, address: tuple[Any, ...]) -> None:
    """The error names the address and what to do; it is no OSError, so that no retry takes it for one."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with forbid_network() as guard, socket.socket(family) as sock:
        with pytest.raises(NetworkForbiddenError, match="ScriptedTransport") as caught:
            getattr(sock, method)(address)

        assert address[0] in caught.value.address
        assert str(address[1]) in str(caught.value)
        assert not isinstance(caught.value, OSError)
        assert guard.attempts == [caught.value.address]


def test_datagrams_are_refused() -> None:
    """Sending without a connection reaches the network too; a tuple of buffers is not an address."""
    left, right = socket.socketpair()
    with forbid_network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, left, right:
        with pytest.raises(NetworkForbiddenError):
            sock.sendto(b"x", (OUTSIDE, 53))
        with pytest.raises(NetworkForbiddenError):
            sock.sendmsg([b"x"], [], 0, (OUTSIDE, 53))
        sock.sendto(b"x", ("127.0.0.1", 9))
        assert left.sendmsg((b"a", b"b")) == 2
        with pytest.raises(TypeError):
            sock.connect()  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["example.com", b"example.com", "api.openai.com."])
def test_looking_up_a_name_is_refused(name: Any) -> None:
    """DNS is the network."""
    with forbid_network():
        with pytest.raises(NetworkForbiddenError):
            socket.getaddrinfo(name, 443)
        with pytest.raises(NetworkForbiddenError):
            socket.gethostbyname(name)
        with pytest.raises(NetworkForbiddenError):
            socket.create_connection((name, 443), timeout=1)


def test_numbers_are_not_looked_up() -> None:
    """A server binds by a look-up of its own address; that sends nothing."""
    with forbid_network():
        assert socket.getaddrinfo("0.0.0.0", 80)
        assert socket.getaddrinfo(None, 80)
        assert socket.getaddrinfo(host=OUTSIDE, port=80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost"])
def test_loopback_is_allowed(listener: socket.socket, host: str) -> None:
    """A server in the test itself stays reachable."""
    with forbid_network() as guard, socket.create_connection((host, listener.getsockname()[1]), timeout=5):
        assert guard.attempts == []


def test_loopback_can_be_forbidden(listener: socket.socket) -> None:
    """With `allow_loopback=False` nothing is reachable but Unix sockets."""
    left, right = socket.socketpair()
    with forbid_network(allow_loopback=False), socket.socket() as sock, left, right:
        with pytest.raises(NetworkForbiddenError, match="all addresses"):
            sock.connect(listener.getsockname())
        with pytest.raises(NetworkForbiddenError):
            socket.getaddrinfo("app.localhost", 80)
        left.sendall(b"x")
        assert right.recv(1) == b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
def test_unix_sockets_are_allowed(tmp_path: Any) -> None:
    """A path is not the network."""
    path = str(tmp_path / "s")
    with (
        forbid_network(allow_loopback=False),
        socket.socket(socket.AF_UNIX) as server,
        socket.socket(socket.AF_UNIX) as sock,
    ):
        server.bind(path)
        server.listen()
        sock.connect(path)


@pytest.mark.parametrize(
    "url", [f"http://{OUTSIDE}/", "http://example.com/", "https://[2001:db8::1]/"], ids=["v4", "name", "v6"]
)
@every_loop
def test_aiohttp_is_refused(factory: Callable[[], asyncio.AbstractEventLoop], url: str) -> None:
    """aiohttp hands the error out as it is, on asyncio's loop and on uvloop."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(NetworkForbiddenError):
                await session.get(url)

    with forbid_network():
        run(factory, main)


@every_loop
def test_loop_methods_are_refused(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The loop's own ways out are closed, uvloop's too, which use no Python socket."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for host in (OUTSIDE, "example.com"):
            with pytest.raises(NetworkForbiddenError):
                await loop.create_connection(asyncio.Protocol, host, 80)
        with pytest.raises(NetworkForbiddenError):
            await loop.create_connection(asyncio.Protocol, host=OUTSIDE, port=80)
        with pytest.raises(NetworkForbiddenError):
            await loop.getaddrinfo("example.com", 80)
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(NetworkForbiddenError):
                await loop.sock_connect(sock, (OUTSIDE, 80))
        with pytest.raises(NetworkForbiddenError):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(OUTSIDE, 53))

    with forbid_network():
        run(factory, main)


@every_loop
def test_loopback_works_on_every_loop(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A server and a client on 127.0.0.1 talk to each other as always, also over a socket made before."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        sock = socket.create_connection(address)
        for way in ({"host": address[0], "port": address[1]}, {"sock": sock}):
            reader, writer = await asyncio.open_connection(**way)
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.close()
            await writer.wait_closed()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        transport.close()
        server.close()
        await server.wait_closed()

    with forbid_network():
        run(factory, main)


def test_everything_is_restored() -> None:
    """After the last guard has left, the very functions of before are back."""

    def patched() -> list[object]:
        return [vars(socket.socket).get(name) for name in PATCHED] + [
            socket.getaddrinfo,
            socket.gethostbyname,
        ]

    before = patched()
    guard = forbid_network()
    with guard:
        assert patched() != before

    assert patched() == before


def test_guards_nest_and_the_strictest_decides(listener: socket.socket) -> None:
    """An inner guard can't loosen an outer one, and leaving it does not end the outer one."""
    address = listener.getsockname()
    outer = forbid_network(allow_loopback=False)
    with outer:
        with forbid_network(), socket.socket() as sock, pytest.raises(NetworkForbiddenError):
            sock.connect(address)
        with socket.socket() as sock, pytest.raises(NetworkForbiddenError):
            sock.connect(address)
    with forbid_network():
        with outer, socket.socket() as sock, pytest.raises(NetworkForbiddenError):
            sock.connect(address)
        with socket.socket() as sock:
            sock.connect(address)
    assert len(outer.attempts) == 3


def test_without_uvloop_the_rest_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop is an extra: where it is missing nothing else is."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with forbid_network(), pytest.raises(NetworkForbiddenError):
        socket.getaddrinfo("example.com", 80)


def test_systems_without_sendmsg_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no sendmsg to guard."""
    original = socket.socket
    stripped = type(
        "socket", (), {name: getattr(original, name) for name in ("connect", "connect_ex", "sendto")}
    )
    monkeypatch.setattr(socket, "socket", stripped)
    with forbid_network():
        assert not hasattr(stripped, "sendmsg")


@pytest.mark.forbid_network
def test_marker_forbids() -> None:
    """The marker guards the whole test."""
    with pytest.raises(NetworkForbiddenError):
        socket.getaddrinfo("example.com", 80)


@pytest.mark.forbid_network(allow_loopback=False)
async def test_marker_passes_its_options_on() -> None:
    """`allow_loopback` works in the marker, and the async test's own loop still starts."""
    with pytest.raises(NetworkForbiddenError):
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
