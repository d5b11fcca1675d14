"""A client that knows nothing but HTTP: posts JSON, and cuts streams into events by hand."""

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

KEYS = {
    "authorization": "Bearer sk-test",
    "anthropic-version": "2026-10-21",
}
CHAT = {
    "openai": "/openai/v1/chat/completions",
    "groq": "/groq/openai/v1/chat/completions",
    "vllm": "/vllm/v1/chat/completions",
    "opea": "/opea/v1/chat/completions",
    "claude": "/claude/v1/messages",
    "ollama": "/ollama/api/chat",
}


@dataclass(frozen=True, slots=True)
class Got:
    """An answer as it came over the wire."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of server-sent events; ``[DONE]`` as a string."""
        datas = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [data if data == "[DONE]" else json.loads(data) for data in datas]

    @property
    def names(self) -> list[str]:
        """The names of server-sent events."""
        return [line[7:] for line in self.body.decode().splitlines() if line.startswith("event: ")]

    @property
    def lines(self) -> list[Any]:
        """The lines of an NDJSON stream."""
        return [json.loads(line) for line in self.body.decode().splitlines()]


@dataclass(frozen=True, slots=True)
class Wire:
    """Sends requests to the emulator."""

    session: aiohttp.ClientSession
    url: str

    def at(self, path: str) -> URL:
        """The URL of a path that is escaped already."""
        return URL(self.url + path, encoded=True)

    async def post(
        self,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        raw: bytes | None = None,
    ) -> Got:
        """Post JSON (or raw bytes) with good keys unless other headers are given."""
        data = json.dumps(body).encode() if raw is None else raw
        sent = KEYS if headers is None else headers
        async with self.session.post(self.at(path), data=io.BytesIO(data), headers=sent) as response:
            return Got(response.status, response.headers, await response.read())

    async def form(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> Got:
        """Post a form; a tuple (name, bytes) is a file, a list is a repeated field."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields.items():
            if isinstance(value, tuple):
                form.add_field(name, value[1], filename=value[0], content_type="audio/wav")
            else:
                for item in value if isinstance(value, list) else [value]:
                    form.add_field(name + "[]" if isinstance(value, list) else name, item)
        sent = KEYS if headers is None else headers
        async with self.session.post(self.at(path), data=form, headers=sent) as response:
            return Got(response.status, response.headers, await response.read())

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Got:
        """Get with good keys unless other headers are given."""
        sent = KEYS if headers is None else headers
        async with self.session.get(self.at(path), headers=sent) as response:
            return Got(response.status, response.headers, await response.read())

    async def chat(self, service: str, text: str = "Hello", **fields: Any) -> Got:
        """Ask a service one question; Ollama's stream is off unless asked for."""
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
        if service == "claude":
            body.setdefault("max_tokens", 4096)
        if service == "ollama":
            body.setdefault("stream", False)
        return await self.post(CHAT[service], body)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - sockets tell no event
            await asyncio.sleep(0.001)


def text_in(service: str, body: Any) -> str:
    """The text of a plain chat answer."""
    if service == "claude":
        return "".join(block.get("text", "") for block in body["content"])
    message = body["message"] if service == "ollama" else body["choices"][0]["message"]
    return str(message["content"])
