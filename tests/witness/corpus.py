"""Good answers of every operation of every service: those of the emulator, and the golden files'."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncapi import Client, Retry
from asyncapi.abc import ServiceBackend, StreamDecoder
from asyncapi.emulator import Emulator, Fault, Timing
from asyncapi.errors import AsyncAPIError
from asyncapi.types.messages import Message, Tool
from asyncapi.types.requests import ChatRequest, CompleteRequest, Request
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import WireRequest, WireResponse
from tests.backends import ovms_golden
from tests.e2e.operations import CALLS, call_native, endpoint_of, model_of, offered, service_of

GOLDEN = Path(ovms_golden.__file__).parent / "golden"
_TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
_REFUSALS = ("429_seconds", "429_date", "500", "503", "529", "quota", "revoked")


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and an answer as it came over the wire: whole, streamed, or an error."""

    service: str
    request: Request
    reply: WireResponse
    kind: str

    @property
    def title(self) -> str:
        """Where a finding is."""
        action = getattr(self.request, "action", "")
        return f"{self.service} {self.request.operation} {action}".strip() + f" ({self.kind})"


class _Recorder:
    """A backend that keeps what goes through it."""

    def __init__(self, backend: ServiceBackend, cases: list[Case]) -> None:
        self.name, self.service = backend.name, backend.service
        self._backend, self._cases = backend, cases

    def encode(self, request: Request) -> WireRequest:
        return self._backend.encode(request)

    def authorize(self, secret: str) -> Mapping[str, str]:
        return self._backend.authorize(secret)

    def decode(self, request: Request, reply: WireResponse) -> Response:
        self._keep(request, reply, "whole")
        return self._backend.decode(request, reply)

    def error(self, reply: WireResponse) -> AsyncAPIError:
        self._keep(Request(model="m"), reply, "error")
        return self._backend.error(reply)

    def stream(self, request: Request, reply: WireResponse) -> StreamDecoder:
        return _Tee(self._backend.stream(request, reply), lambda data: self._stream(request, reply, data))

    def _stream(self, request: Request, reply: WireResponse, data: bytes) -> None:
        self._keep(request, WireResponse(status=200, headers=reply.headers, body=data), "stream")

    def _keep(self, request: Request, reply: WireResponse, kind: str) -> None:
        plain = WireResponse(status=reply.status, headers=dict(reply.headers), body=reply.body)
        self._cases.append(Case(self.name, request, plain, kind))


class _Tee:
    """A decoder that keeps what it is fed, and tells it when it is asked for the whole."""

    def __init__(self, decoder: StreamDecoder, tell: Any) -> None:
        self._decoder, self._tell, self._data = decoder, tell, b""

    @property
    def error(self) -> AsyncAPIError | None:
        return self._decoder.error

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> list[Chunk]:
        self._data += data
        return self._decoder.feed(data)

    def finish(self) -> Response:
        self._tell(self._data)
        return self._decoder.finish()

    def partial(self) -> Response:
        return self._decoder.partial()


async def record(service: str) -> list[Case]:
    """Every operation of a service, and its refusals, as the emulator answers them."""
    cases: list[Case] = []
    backend = service_of(service)
    async with Emulator(timing=Timing.instant()) as emulator:
        endpoint = endpoint_of(emulator, service, retry=Retry(attempts=1))
        async with Client([endpoint], backends=[_Recorder(backend, cases)], log=False) as client:
            for name, operation in offered():
                if name == service:
                    await _ask(client, service, operation)
            if "chat" in backend.service.operations:
                await _ask_for_tools(client, service)
    for fault in _REFUSALS:
        await _refusal(service, fault, cases)
    return [*cases, *golden(service)]


async def _ask(client: Client, service: str, operation: str) -> None:
    if operation.startswith("native "):
        await call_native(client, service, operation.removeprefix("native "))
        return
    for call in CALLS[operation]:
        await call(client, model_of(service, operation))


async def _ask_for_tools(client: Client, service: str) -> None:
    with suppress(AsyncAPIError):  # some have no tools
        model = f"{service}:m"
        await client.chat(model, "Use the tools", tools=[_TOOL], max_tokens=4000)
        async with client.stream(model, "Use the tools", tools=[_TOOL], max_tokens=4000) as stream:
            _ = [chunk async for chunk in stream]


async def _refusal(service: str, fault: str, cases: list[Case]) -> None:
    async with Emulator(timing=Timing.instant()) as emulator:
        emulator.script([Fault(fault)])
        endpoint = endpoint_of(emulator, service, retry=Retry(attempts=1))
        async with Client([endpoint], backends=[_Recorder(service_of(service), cases)], log=False) as client:
            operation = next(o for n, o in offered() if n == service and not o.startswith("native"))
            with suppress(AsyncAPIError):
                await CALLS[operation][0](client, model_of(service, operation))


def golden(service: str) -> Iterator[Case]:
    """The streams, and tensors, of the golden files."""
    chat = ChatRequest(
        model="m", messages=(Message("user", "Hi"),), stream=True, tools=(Tool(name="get_weather"),)
    )
    for path in sorted((GOLDEN / service).glob("*.sse")):
        request: Request = chat
        if path.name == "generate.sse":
            request = CompleteRequest(model="m", prompts=("Hi",), stream=True)
        yield _streamed(service, request, path.read_bytes())
    for case in json.loads((GOLDEN / "openai" / "streams.json").read_text())["cases"]:
        if case["service"] == service:
            stream = "".join(f"data: {event}\n\n" for event in case["events"]).encode()
            many = ChatRequest(model="m", messages=chat.messages, stream=True, n=case["n"])
            yield _streamed(service, many, stream)
    if service == "ollama":
        lines = json.loads((GOLDEN / "ollama" / "stream.json").read_text())["lines"]
        yield _streamed(service, chat, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    if service == "ovms":
        for case in ovms_golden.CASES:
            yield Case(service, ovms_golden.request(case), ovms_golden.golden_reply(case), "whole")


def _streamed(service: str, request: Request, data: bytes) -> Case:
    reply = WireResponse(status=200, headers={"content-type": "text/event-stream"}, body=data)
    return Case(service, request, reply, "stream")
