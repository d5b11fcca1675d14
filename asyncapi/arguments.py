"""From keyword arguments to requests: what a caller writes, checked and in normal form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.options import OPTIONS, CallOptions
from asyncapi.types.messages import MessageLike, as_messages, as_tools
from asyncapi.types.requests import ChatParameters, ChatRequest, CompleteRequest, Extra

__all__ = ["ChatOptions", "CompleteOptions", "chat_request", "complete_request", "texts_of"]


class ChatOptions(ChatParameters, CallOptions, total=False):
    """The parameters of a chat and the options of its call."""


class CompleteOptions(CallOptions, total=False):
    """The parameters of a completion (see ``CompleteRequest``) and the options of its call."""

    suffix: str | None
    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    stop: str | Sequence[str]
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logprobs: int | None
    response_format: str | Mapping[str, Any] | None
    extra: Extra | None


def chat_request(
    kind: type[ChatRequest],
    model: str,
    messages: str | Sequence[MessageLike],
    options: ChatOptions,
    **own: Any,
) -> tuple[ChatRequest, CallOptions]:
    """A chat-shaped request and the options of its call, from one set of keyword arguments.

    Raises:
        ConfigError: Messages, tools or parameters that can't be read; says where.
    """
    try:
        typed = as_messages(messages)
        if not options:
            return kind(model=model, messages=typed, **own), {}
        values = _parameters(options)
        if "tools" in values:
            values["tools"] = as_tools(values["tools"])
        return kind(model=model, messages=typed, **values, **own), _call_options(options)
    except (ValueError, TypeError) as error:
        raise error if isinstance(error, AsyncAPIError) else ConfigError(f"chat: {error}") from error


def complete_request(
    model: str, prompts: str | Sequence[str], options: CompleteOptions, **own: Any
) -> tuple[CompleteRequest, CallOptions]:
    """The same for a completion.

    Raises:
        ConfigError: A parameter that does not exist, or no prompt.
    """
    texts = texts_of("complete", prompts)
    try:
        request = CompleteRequest(model=model, prompts=texts, **_parameters(options), **own)
    except TypeError as error:
        raise ConfigError(f"complete: {error}") from error
    return request, _call_options(options)


def _parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in options.items() if name not in OPTIONS}
    if "stop" in values:
        stop = values["stop"]
        values["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    return values


def _call_options(options: Mapping[str, Any]) -> CallOptions:
    return cast(CallOptions, {name: value for name, value in options.items() if name in OPTIONS})


def texts_of(verb: str, texts: str | Sequence[str]) -> tuple[str, ...]:
    many = (texts,) if isinstance(texts, str) else tuple(texts)
    if not many:
        raise ConfigError(f"{verb}: expected one text or more, got none")
    for i, text in enumerate(many):
        if not isinstance(text, str):
            raise ConfigError(f"{verb}: text {i}: expected a string, got {type(text).__name__}")
    return many
