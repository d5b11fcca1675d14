"""A target that is not the bottleneck: fixed bodies straight from an asyncio protocol.

A chat completion is one fixed body; with ``"stream": true`` it is 52 chunks, all at once or, with
``--gap``, one every so many seconds; embeddings are as many vectors as there are inputs. ``--delay``
is a service time in seconds. ``GET /lag`` says how late the latest paced chunk was written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
from functools import lru_cache
from typing import cast

import orjson

from benchmarks.measure import pin

__all__ = ["CHAT", "CHUNKS", "STREAMED", "TEXT", "events", "reply"]

TEXT = "The quick brown fox. " * 20
WORDS = 50
STREAMED = "".join(f" word{i % 10}" for i in range(WORDS))
CHUNKS = WORDS + 2  # with the role's and the last
CHAT = orjson.dumps(
    {
        "id": "chatcmpl-CzQ1kf7Bq2",
        "object": "chat.completion",
        "created": 1795402001,
        "model": "gpt-5-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 81,
            "completion_tokens": 118,
            "total_tokens": 199,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "service_tier": "default",
    }
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"


def reply(body: bytes) -> bytes:
    """A whole HTTP answer of JSON."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    event = {
        "id": "chatcmpl-9",
        "object": "chat.completion.chunk",
        "created": 1795402001,
        "model": "gpt-5-mini",
        "choices": [choice],
        "usage": None,
    }
    return b"data: " + orjson.dumps(event) + b"\n\n"


@lru_cache
def events() -> list[bytes]:
    """The pieces of a streamed answer, the first with the head of the answer, the last with [DONE]."""
    pieces = [_event({"role": "assistant", "content": ""})]
    pieces += [_event({"content": f" word{i % 10}"}) for i in range(WORDS)]
    pieces.append(_event({}, "stop") + b"data: [DONE]\n\n")
    pieces[0] = _STREAM_HEAD % sum(map(len, pieces)) + pieces[0]
    return pieces


@lru_cache
def _vectors(count: int) -> bytes:
    vector = "AACAPwAAAEAAAEBA" * 32
    data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)]
    usage = {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
    return reply(orjson.dumps({"object": "list", "model": "m", "data": data, "usage": usage}))


class Pace:
    """Writes the pieces of many streams, each at its time, on one timer a millisecond.

    State: ``_due``, what to write at each tick; the ``_tick`` that was done last; the ``lag`` of the
    latest in seconds, and the largest.
    """

    def __init__(self, gap: float) -> None:
        self._gap = max(1, round(gap * 1000))
        self._due: dict[int, list[tuple[Target, int]]] = {}
        self._tick = 0
        self.lag = 0.0

    def begin(self, target: Target) -> None:
        """The first piece now, the others one gap after another."""
        loop = asyncio.get_running_loop()
        if not self._due:
            self._tick = int(loop.time() * 1000)
            loop.call_at((self._tick + 1) / 1000, self._run)
        self._due.setdefault(int(loop.time() * 1000) + self._gap, []).append((target, 1))
        target.write(events()[0])

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now = int(loop.time() * 1000)
        pieces = events()
        for tick in range(self._tick + 1, now + 1):
            for target, number in self._due.pop(tick, ()):
                target.write(pieces[number])
                if number + 1 < len(pieces):
                    self._due.setdefault(tick + self._gap, []).append((target, number + 1))
        self.lag = max(self.lag, loop.time() - (self._tick + 1) / 1000)
        self._tick = now
        if self._due:
            loop.call_at((now + 1) / 1000, self._run)


class Target(asyncio.Protocol):
    """One connection. State: its ``_transport``, and what has arrived of the next request."""

    def __init__(self, delay: float, pace: Pace | None) -> None:
        self._delay = delay
        self._pace = pace
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if self._delay:
                path = head.split(b" ", 2)[1]
                asyncio.get_running_loop().call_later(self._delay, self._answer, path, body)
            else:
                self._answer(head.split(b" ", 2)[1], body)

    def write(self, data: bytes) -> None:
        """Send, unless the client is gone."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def _answer(self, path: bytes, body: bytes) -> None:
        if path.endswith(b"/embeddings"):
            self.write(_vectors(len(orjson.loads(body)["input"])))
        elif b'"stream":true' in body or b'"stream": true' in body:
            if self._pace is not None:
                self._pace.begin(self)
            else:
                self.write(b"".join(events()))
        elif path == b"/lag":
            self.write(reply(b"%f" % (self._pace.lag if self._pace is not None else 0.0)))
        else:
            self.write(_CHAT)


_CHAT = reply(CHAT)


async def main(arguments: argparse.Namespace) -> None:
    """Serve until stopped; the first line printed is the base URL."""
    context = None
    if arguments.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)
    pace = Pace(arguments.gap) if arguments.gap else None
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: Target(arguments.delay, pace), "127.0.0.1", 0, ssl=context, backlog=16384
    )
    port = listener.sockets[0].getsockname()[1]
    print(f"{'https://localhost' if context else 'http://127.0.0.1'}:{port}/v1", flush=True)
    await listener.serve_forever()


def _serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--certificate", default="")
    arguments = parser.parse_args()
    pin(1)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:
            asyncio.run(main(arguments))
        else:
            uvloop.run(main(arguments))


if __name__ == "__main__":
    _serve()
