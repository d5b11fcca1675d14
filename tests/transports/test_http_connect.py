"""What stands between here and the service: names, ports, certificates and proxies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from asyncapi.abc import Transport
from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    ReadTimeoutError,
)
from asyncapi.transports.http import HTTPTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def refused(transport: Transport, request: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await transport.send(request)
    assert caught.value.sent is False
    return caught.value


async def test_refused_connection_says_where(ask: Any, transport: Transport) -> None:
    """Nothing listens: host, port and a remedy, and nothing was sent."""
    port = free_port()

    error = await refused(transport, ask(port, path="/v1?key=hunter2"))

    assert f"127.0.0.1:{port}" in str(error)
    assert "is the service running" in str(error)
    assert "hunter2" not in str(error)
    assert error.retryable


async def test_unknown_host_is_named(ask: Any, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without an address."""

    async def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", nowhere)
    request = ask(1)

    error = await refused(
        transport, type(request)(method="GET", url="http://no.such.host/x?key=1", headers={}, body=None)
    )

    assert str(error).startswith("no.such.host:80: the host name can't be resolved (")


async def test_handshake_that_never_comes_ends_at_the_connect_timeout(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """A port that accepts and says nothing is given up after connect_timeout."""

    async def silent(peer: Any) -> None:
        await peer.left()

    request = ask(await serve(silent), scheme="https", connect_timeout=0.05)
    started = asyncio.get_running_loop().time()

    error = await refused(transport, request)

    assert "connect timeout" in str(error)
    assert asyncio.get_running_loop().time() - started < 0.5


async def test_connect_timeout_does_not_bound_the_answer(serve: Any, ask: Any, transport: Transport) -> None:
    """Once connected, the core's deadline is the only one."""

    async def slow(peer: Any) -> None:
        await peer.request()
        await asyncio.sleep(0.1)
        await peer.say(OK)

    assert (await transport.send(ask(await serve(slow), connect_timeout=0.05))).body == b"ok"


# -- TLS ----------------------------------------------------------------------------------------------------


async def test_own_authority_is_trusted_when_named(
    kind: type[HTTPTransport], serve: Any, ask: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ca_file, or by SSL_CERT_FILE."""
    port = await serve(OK, authority.server)
    by_file = kind(ca_file=authority.ca_file)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    by_environment = kind()

    for transport in (by_file, by_environment):
        assert (await transport.send(ask(port, scheme="https"))).body == b"ok"
        await transport.aclose()


async def test_unknown_authority_is_refused(
    serve: Any, ask: Any, authority: Any, transport: Transport
) -> None:
    """Certificates are verified unless told whom else to trust; trying again is no remedy."""
    error = await refused(transport, ask(await serve(OK, authority.server), scheme="https"))

    assert "TLS certificate refused" in str(error)
    assert "ca_file" in str(error)
    assert error.retryable is False


async def test_plain_port_spoken_to_in_tls_is_explained(serve: Any, ask: Any, transport: Transport) -> None:
    """https to an http port."""

    async def plain(peer: Any) -> None:
        await peer.reader.read(1)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    error = await refused(transport, ask(await serve(plain), scheme="https"))

    assert "TLS handshake failed" in str(error)


def test_certificate_files_are_checked_at_once(
    kind: type[HTTPTransport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file, or one without certificates, is told when the transport is made."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")

    with pytest.raises(ConfigError, match=r"ca_file: no file at '.*missing\.pem'"):
        kind(ca_file=tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match="holds no PEM"):
        kind(ca_file=empty)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE: no file"):
        kind()


# -- proxies ------------------------------------------------------------------------------------------------


async def tunnel(peer: Any, seen: list[bytes], verdict: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
    """A CONNECT proxy."""
    seen.append(await peer.request())
    await peer.say(verdict)
    host, port = seen[0].split()[1].decode().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))


async def test_http_proxy_gets_the_whole_url(
    kind: type[HTTPTransport], serve: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is used, with its password; its name needs no scheme."""
    seen: list[bytes] = []

    async def proxy(peer: Any) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    monkeypatch.setenv("http_proxy", f"me:secret@127.0.0.1:{await serve(proxy)}")
    transport = kind()
    answer = await transport.send(ask(1, path="/v1/chat"))
    await transport.aclose()

    assert answer.body == b"ok"
    assert seen[0].startswith(b"POST http://127.0.0.1:1/v1/chat HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in seen[0]


async def test_https_goes_through_a_tunnel(
    kind: type[HTTPTransport], serve: Any, ask: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY is asked to CONNECT; inside, the service's certificate is verified."""
    seen: list[bytes] = []
    proxy = await serve(lambda peer: tunnel(peer, seen))
    service = await serve(OK, authority.server)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
    trusting, other = kind(ca_file=authority.ca_file), kind()

    answer = await trusting.send(ask(service, scheme="https"))
    with pytest.raises(ConnectError, match="certificate refused"):
        await other.send(ask(service, scheme="https"))
    await trusting.aclose()
    await other.aclose()

    assert answer.body == b"ok"
    assert seen[0].startswith(f"CONNECT 127.0.0.1:{service} HTTP/1.1\r\n".encode())
    assert b"Content-Type" not in seen[0]


@pytest.mark.parametrize(
    ("status", "again"), [("407 Proxy Authentication Required", False), ("503 Busy", True)]
)
async def test_proxy_that_refuses_the_tunnel(
    kind: type[HTTPTransport],
    status: str,
    again: bool,
    serve: Any,
    ask: Any,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy's own refusal is no answer of the service."""
    proxy = await serve(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
    through = kind()

    error = await refused(through, ask(443, scheme="https"))
    await through.aclose()

    assert f"(status {status[:3]})" in str(error)
    assert error.retryable is again


async def test_dead_proxy_is_named(
    kind: type[HTTPTransport], ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the proxy, not the service, and not the proxy's password."""
    port = free_port()
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
    transport = kind()

    error = await refused(transport, ask(1))
    await transport.aclose()

    assert f"no connection to the proxy 127.0.0.1:{port}" in str(error)
    assert "secret" not in str(error)


async def test_no_proxy_goes_straight(
    kind: type[HTTPTransport], serve: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY names whom to reach directly."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    transport = kind()

    assert (await transport.send(ask(await serve(OK)))).body == b"ok"
    await transport.aclose()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://[::1"])
async def test_proxy_of_another_kind_is_a_config_error(
    kind: type[HTTPTransport], proxy: str, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SOCKS is not spoken here, and nonsense is named."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY"):
        await kind().send(ask(1))


# -- translation, from canned failures ----------------------------------------------------------------------

KEY: Any = SimpleNamespace(host="api.test", port=443, is_ssl=True, ssl=True)
INFO: Any = SimpleNamespace(real_url=URL("http://api.test/"))


@pytest.mark.parametrize(
    ("foreign", "ours", "sent"),
    [
        (aiohttp.ServerDisconnectedError(), ConnectionLostError, None),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), ConnectionLostError, None),
        (ConnectionResetError(104, "Connection reset by peer"), ConnectionLostError, None),
        (aiohttp.ClientPayloadError("not completed"), ConnectionLostError, True),
        (aiohttp.SocketTimeoutError("read"), ReadTimeoutError, True),
        (aiohttp.ConnectionTimeoutError("connect"), ConnectError, False),
        (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), ConnectError, False),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError("handshake")), ConnectError, False),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("name")), ConnectError, False),
        (aiohttp.ClientResponseError(INFO, (), status=400), DecodeError, True),
        (aiohttp.InvalidURL("http://api.test/?key=hunter2"), ConfigError, False),
        (UnicodeError("label too long"), ConfigError, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_foreign_failures_become_ours(
    foreign: Exception, ours: type[AsyncAPIError], sent: bool | None, ask: Any, transport: Transport
) -> None:
    """Each failure of aiohttp, the resolver or the socket has one exception here, with its cause."""
    with aioresponses() as canned:
        canned.post("http://127.0.0.1:9/v1/chat", exception=foreign)
        with pytest.raises(ours) as caught:
            await transport.send(ask(9))

    assert caught.value.sent is sent
    assert caught.value.__cause__ is foreign
    assert "hunter2" not in str(caught.value)
