"""A client that answers without a network, and rows to send to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Unpack

import msgspec
import orjson

from asyncapi.client import CallOptions
from asyncapi.errors import AsyncAPIError, ConfigError, MissingKeyError, UnknownModelError
from asyncapi.jobs import Progress
from asyncapi.types.messages import Text
from asyncapi.types.requests import ChatRequest, Request
from asyncapi.types.responses import ChatResponse, Output, Response, Served, Timings
from asyncapi.types.usage import Usage

Answer = Callable[[Request, int], Response | AsyncAPIError]


class Finished(msgspec.Struct, frozen=True):
    """One result of ``FakeClient.map``."""

    index: int
    request: Request
    response: Response | None = None
    error: AsyncAPIError | None = None


def text_of(request: Request) -> str:
    """The last message's text."""
    assert isinstance(request, ChatRequest)
    return request.messages[-1].text


def echo(request: Request, _: int) -> Response:
    """The prompt, backwards."""
    return ChatResponse(
        id="chatcmpl-1",
        model=request.model.partition(":")[2],
        outputs=(Output(parts=(Text(text_of(request)[::-1]),)),),
        usage=Usage(input_tokens=3, output_tokens=2),
        served=Served(endpoint="fake", request_id="r-1", attempts=1, timings=Timings(total_s=0.01)),
    )


class FakeClient:
    """Holds up to ``max_in_flight`` requests and answers them in a seeded disorder.

    ``calls`` are the requests in the order in which they were taken, ``peak`` the most held at once.
    """

    def __init__(self, answer: Answer = echo, *, seed: int = 0) -> None:
        self.calls: list[Request] = []
        self.peak = 0
        self.options: CallOptions = {}
        self._answer = answer
        self._random = random.Random(seed)
        self._seen: dict[str, int] = {}
        self.keep = True

    def check(self, model: str, /) -> None:
        """Knows two endpoints and a route."""
        endpoint = model.partition(":")[0]
        if endpoint == "keyless":
            raise MissingKeyError("keyless has no key")
        if endpoint not in ("fake", "openai") and model != "smart":
            raise UnknownModelError(f"no endpoint is called {endpoint!r}")

    async def map(
        self, requests: AsyncIterator[Request], /, *, max_in_flight: int, **options: Unpack[CallOptions]
    ) -> AsyncGenerator[Finished, None]:
        """Results as they finish."""
        self.options = options
        held: list[tuple[int, Request]] = []
        index, more = 0, True
        while more or held:
            while more and len(held) < max_in_flight:
                try:
                    held.append((index, await anext(requests)))
                    index += 1
                except StopAsyncIteration:
                    more = False
            if not held:
                return
            self.peak = max(self.peak, len(held))
            await asyncio.sleep(0)
            place = self._random.randrange(len(held))
            held[place], held[-1] = held[-1], held[place]
            yield self._finish(*held.pop())

    def _finish(self, index: int, request: Request) -> Finished:
        try:
            self.check(request.model)
        except ConfigError as error:
            return Finished(index, request, error=error)
        if not self.keep:
            result: Response | AsyncAPIError = self._answer(request, 1)
        else:
            self.calls.append(request)
            text = text_of(request) if isinstance(request, ChatRequest) else ""
            self._seen[text] = self._seen.get(text, 0) + 1
            result = self._answer(request, self._seen[text])
        if isinstance(result, AsyncAPIError):
            return Finished(index, request, error=result)
        return Finished(index, request, response=result)


class Notes:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.progress: Progress | None = None
        self.ended = 0
        self.ticks = 0

    def started(self, progress: Progress, /) -> None:
        """The run begins."""
        self.progress = progress

    def tick(self) -> None:
        """A moment passed."""
        self.ticks += 1

    def note(self, text: str, /) -> None:
        """Something to read."""
        self.notes.append(text)

    def finished(self) -> None:
        """The run ended."""
        self.ended += 1


def batch_line(custom_id: str, text: str, **body: Any) -> dict[str, Any]:
    """An OpenAI Batch line."""
    body = {"model": "gpt-6", "messages": [{"role": "user", "content": text}]} | body
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A JSONL file."""
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """A JSONL file's objects."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
