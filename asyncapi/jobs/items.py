"""A row of the input to the request that is sent for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from asyncapi.errors import ConfigError
from asyncapi.jobs.reader import LineError, Row, Source
from asyncapi.jobs.settings import RunSettings
from asyncapi.jobs.template import MissingFieldError, Template
from asyncapi.types.messages import Message, as_messages, as_tools
from asyncapi.types.requests import ChatRequest, EmbedRequest, Extra, Request

__all__ = ["BatchItems", "Item", "ItemBuilder", "TemplateItems", "item_builder"]

_PATHS = {"/v1/chat/completions": "chat", "/v1/embeddings": "embed"}
_RENAMED = {"max_completion_tokens": "max_tokens", "user": "user_id"}
#: Streaming is how the answer travels, not what it is; vectors are written as lists of numbers.
_DROPPED = frozenset({"stream", "stream_options", "encoding_format"})


class Item(msgspec.Struct, frozen=True):
    """One row on its way: where it stands in the input, its id and its request."""

    index: int
    line: int
    custom_id: str
    request: Request


class ItemBuilder(Protocol):
    """Makes items of rows."""

    @property
    def numbered(self) -> bool:
        """Whether ids are line numbers: unique by themselves, known without reading the row."""
        ...

    def build(self, row: Row, source: Source, /) -> Item:
        """The item for a row.

        Raises:
            LineError: The row can't be sent.
        """
        ...


def item_builder(settings: RunSettings) -> ItemBuilder:
    """The builder that the settings ask for."""
    return BatchItems(settings) if settings.prompt is None else TemplateItems(settings)


class TemplateItems:
    """Any row to a chat request, by templates."""

    def __init__(self, settings: RunSettings) -> None:
        self._model = settings.model
        self._prompt = Template(settings.prompt or "")
        self._system = None if settings.system is None else Template(settings.system, name="system")
        self._id = None if settings.id is None else Template(settings.id, name="id")
        known, rest = _split(_with_options({}, settings))
        self._known: dict[str, Any] = _checked_chat(known, ConfigError)
        self._extra = Extra(body=rest) if rest else None

    @property
    def numbered(self) -> bool:
        """Whether ids are line numbers."""
        return self._id is None

    def build(self, row: Row, source: Source, /) -> Item:
        """The item for a row."""
        fields = source.fields(row)
        try:
            messages: tuple[Message, ...] = (Message("user", self._prompt.render(fields)),)
            if self._system is not None:
                messages = (Message("system", self._system.render(fields)), *messages)
            name = f"request-{row.line}" if self._id is None else self._id.render(fields)
        except MissingFieldError as error:
            raise LineError(str(error)) from None
        request = ChatRequest(model=self._model, messages=messages, extra=self._extra, **self._known)
        return Item(row.index, row.line, name, request)


class BatchItems:
    """An OpenAI Batch line (``custom_id``, ``method``, ``url``, ``body``) to a request for any service."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._id = None if settings.id is None else Template(settings.id, name="id")

    @property
    def numbered(self) -> bool:
        """Whether ids are line numbers."""
        return False

    def build(self, row: Row, source: Source, /) -> Item:
        """The item for a row."""
        line = source.fields(row)
        body, url = line.get("body"), line.get("url", "/v1/chat/completions")
        if not isinstance(body, dict):
            raise LineError(
                "no OpenAI Batch line: expected custom_id, method, url and an object body; for any other "
                f"file give a prompt template over its fields: {', '.join(map(str, line))}"
            )
        if line.get("method", "POST") != "POST":
            raise LineError(f"method: expected 'POST', got {line['method']!r:.40}")
        operation = _PATHS.get(url if str(url).startswith("/v1/") else f"/v1{url}")
        if operation is None:
            raise LineError(f"url: expected one of {', '.join(_PATHS)}, got {url!r:.60}")
        body = _with_options(body, self._settings)
        model = self._model(body.pop("model", ""))
        build = _chat if operation == "chat" else _embed
        return Item(row.index, row.line, self._custom_id(row, line), build(model, body))

    def _custom_id(self, row: Row, line: Mapping[str, Any]) -> str:
        if self._id is not None:
            try:
                return self._id.render(line)
            except MissingFieldError as error:
                raise LineError(str(error)) from None
        name = line.get("custom_id", f"request-{row.line}")
        if not isinstance(name, str) or not name:
            raise LineError(f"custom_id: expected a text, got {name!r:.40}")
        return name

    def _model(self, name: Any) -> str:
        provider, colon, model = self._settings.model.partition(":")
        if model or (provider and not colon):  # the latter is a route
            return self._settings.model
        if not isinstance(name, str) or not name:
            raise LineError("body.model: missing; give a model for all lines as provider:model")
        if provider:
            return f"{provider}:{name}"
        if ":" not in name:
            raise LineError(
                f"body.model is {name!r}, without a provider; give one for all lines, such as openai: "
                f"(then it is openai:{name}), or a whole provider:model"
            )
        return name


class _ChatBody(msgspec.Struct, kw_only=True):
    """Types of the parameters that the normal form knows, to refuse a wrong one before it is sent."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: str | dict[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    user_id: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None


class _EmbedBody(msgspec.Struct, kw_only=True):
    input: str | list[str]
    dimensions: int | None = None
    user_id: str | None = None


_CHAT_FIELDS = frozenset(_ChatBody.__struct_fields__)
_EMBED_FIELDS = frozenset(_EmbedBody.__struct_fields__)


def _with_options(body: Mapping[str, Any], settings: RunSettings) -> dict[str, Any]:
    """The body with the run's own parameters over it, under the names of the normal form."""
    merged = {_RENAMED.get(k, k): v for k, v in (*body.items(), *settings.parameters.items())}
    if settings.max_tokens is not None:
        merged["max_tokens"] = settings.max_tokens
    if settings.temperature is not None:
        merged["temperature"] = settings.temperature
    return merged


def _split(
    body: Mapping[str, Any], fields: frozenset[str] = _CHAT_FIELDS
) -> tuple[dict[str, Any], dict[str, Any]]:
    known = {k: v for k, v in body.items() if k in fields and v is not None}
    return known, {k: v for k, v in body.items() if k not in fields and k not in _DROPPED}


def _chat(model: str, body: dict[str, Any]) -> ChatRequest:
    if "messages" not in body:
        raise LineError("body.messages: missing")
    try:
        messages = as_messages(body.pop("messages"))
    except (ValueError, TypeError) as error:
        raise LineError(f"body.{error}") from None
    known, rest = _split(body)
    choice = known.get("tool_choice")
    if isinstance(choice, dict) and "function" not in choice:  # only OpenAI's own services know such a choice
        rest["tool_choice"] = known.pop("tool_choice")
    extra = Extra(body=rest) if rest else None
    return ChatRequest(model=model, messages=messages, extra=extra, **_checked_chat(known, LineError))


def _checked_chat(known: dict[str, Any], problem: Callable[[str], Exception]) -> dict[str, Any]:
    """The parameters in normal form.

    Raises:
        problem: One of them has a wrong type.
    """
    if not known:
        return known
    try:
        msgspec.convert(known, _ChatBody)
        return known | {name: read(known[name]) for name, read in _NORMAL.items() if name in known}
    except (msgspec.ValidationError, ValueError, KeyError, TypeError) as error:
        raise problem(f"parameters: {_readable(error)}") from None


def _embed(model: str, body: dict[str, Any]) -> EmbedRequest:
    known, rest = _split(body, _EMBED_FIELDS)
    try:
        checked = msgspec.convert(known, _EmbedBody)
    except msgspec.ValidationError as error:
        raise LineError(f"body: {_readable(error)}") from None
    inputs = (checked.input,) if isinstance(checked.input, str) else tuple(checked.input)
    if not inputs or not all(inputs):
        raise LineError("body.input: expected a text or a list of texts, none of them empty")
    extra = Extra(body=rest) if rest else None
    return EmbedRequest(
        model=model, inputs=inputs, dimensions=checked.dimensions, user_id=checked.user_id, extra=extra
    )


def _stop(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _tool_choice(value: str | dict[str, Any]) -> str:
    return value if isinstance(value, str) else str(value["function"]["name"])


def _response_format(value: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(value, str) or "schema" in value:
        return value
    kind = value.get("type")
    if kind == "json_schema":
        return {k: v for k, v in value["json_schema"].items() if k in ("schema", "name", "strict")}
    return {"json_object": "json", "text": "text"}[str(kind)]


_NORMAL: Mapping[str, Callable[[Any], Any]] = {
    "stop": _stop,
    "tools": as_tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
}


def _readable(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"unexpected or missing {error}"
    return str(error).replace(" - at `$.", " at `").replace("`$.", "`")
