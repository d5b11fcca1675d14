"""A target that is not the bottleneck: fixed bodies straight from an asyncio protocol.

``/chat`` answers a fixed chat completion, ``/stream?n=50`` that many chunks at once, ``/embed`` as many
vectors as there are inputs. ``--delay`` is a service time in seconds for each.
"""

from __future__ import annotations

import argparse
import asyncio
from functools import lru_cache

import orjson

from benchmarks.measure import pin

CHAT = orjson.dumps(
    {
        "id": "chatcmpl-CzQ1kf7Bq2",
        "object": "chat.completion",
        "created": 1795402001,
        "model": "gpt-5-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The quick brown fox. " * 20, "refusal": None},
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


def _reply(body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
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
def _stream(count: int) -> bytes:
    events = [_chunk({"role": "assistant", "content": ""})]
    events += [_chunk({"content": f" word{i % 10}"}) for i in range(count)]
    events += [_chunk({}, "stop"), b"data: [DONE]\n\n"]
    return _reply(b"".join(events), b"text/event-stream")


@lru_cache
def _vectors(count: int) -> bytes:
    vector = "AACAPwAAAEAAAEBA" * 32
    data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)]
    usage = {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
    return _reply(orjson.dumps({"object": "list", "model": "m", "data": data, "usage": usage}))


class Target(asyncio.Protocol):
    """One connection. State: what has arrived of the next request."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = b""
        self._chat = _reply(CHAT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

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
            reply = self._answer(head.split(b" ", 2)[1], body)
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._write, reply)
            else:
                self._write(reply)

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)

    def _answer(self, path: bytes, body: bytes) -> bytes:
        if b"/embeddings" in path:
            return _vectors(len(orjson.loads(body)["input"]))
        if b'"stream":true' in body:
            return _stream(50)
        return self._chat


async def main() -> None:
    """Serve until stopped; the first line printed is the base URL."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    delay: float = parser.parse_args().delay
    pin(1)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Target(delay), "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}/v1", flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
