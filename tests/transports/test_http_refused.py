"""What can't be sent is refused here, and no error shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

from asyncapi.abc import Transport
from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.transports.http import HTTPTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("url", ["ftp://h/x", "http://", "nonsense", "http://h:port/x", "http://[::1/x"])
async def test_url_that_is_none_is_a_config_error(url: str, ask: Any, transport: Transport) -> None:
    """A wrong base_url is found before anything is sent."""
    request = ask(1)
    with pytest.raises(ConfigError) as caught:
        await transport.send(type(request)(method="GET", url=url, headers={}, body=None))

    assert caught.value.sent is False


@pytest.mark.parametrize(
    "headers",
    [
        {"A": "b\r\nC: d"},
        {"A": "b\n"},
        {"A": "b\0"},
        {"A\r\nC": "d"},
        {"A: b\r\nC": "d"},
        {"A": "größe", "B": "c\rD: e"},
    ],
)
async def test_header_with_a_line_break_is_refused(
    headers: dict[str, str], serve: Any, ask: Any, transport: Transport
) -> None:
    """A header that would smuggle a second one never leaves."""
    with pytest.raises(ConfigError, match="control characters"):
        await transport.send(ask(await serve(OK), headers=headers))


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"nonsense\r\n\r\n"]
)
async def test_no_error_shows_a_secret_of_the_url(
    answer: bytes, serve: Any, ask: Any, transport: Transport
) -> None:
    """Neither message nor cause has the query or the headers."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(answer)

    request = ask(await serve(handler), path="/v1?key=hunter2", headers={"Authorization": "hunter3"})
    with pytest.raises(AsyncAPIError) as caught:
        await transport.send(request)

    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_caches_stay_bounded(serve: Any, ask: Any, transport: HTTPTransport) -> None:
    """Thousands of URLs and connect timeouts do not pile up."""
    port = await serve(OK)
    for turn in range(1, 1100):
        await transport.send(ask(port, path=f"/{turn}", connect_timeout=float(turn)))

    assert len(transport._targets) < 1024
    assert len(transport._timeouts) < 1024
