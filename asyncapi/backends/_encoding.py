"""What every translator needs on the way out: the caller's extras, and parameters that a service lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from asyncapi.errors import ConfigError
from asyncapi.types.messages import Image
from asyncapi.types.requests import ChatRequest, CompleteRequest, Extra
from asyncapi.types.wire import WireRequest
from asyncapi.wire import json

__all__ = [
    "drop",
    "get_request",
    "image_data",
    "json_request",
    "note",
    "one_text",
    "tool_input",
]


def json_request(
    path: str,
    body: dict[str, Any],
    service: str,
    extra: Extra | None,
    warnings: Sequence[str] = (),
    headers: Mapping[str, str] = json.HEADERS,
) -> WireRequest:
    """A POST of ``body``, with the caller's extras merged in last.

    Raises:
        ConfigError: The body holds something that JSON can't express.
    """
    if extra is not None:
        path = _with_query(path, extra.query)
        headers = _with_headers(headers, extra.headers)
        body = json.merge(body, extra.body)
    return WireRequest(
        path=path,
        body=json.dumps(body, service),
        headers=headers,
        warnings=tuple(warnings) if warnings else (),
    )


def get_request(path: str, extra: Extra | None, headers: Mapping[str, str] | None = None) -> WireRequest:
    """A GET, with the caller's query and headers merged in last."""
    if extra is not None:
        path = _with_query(path, extra.query)
        headers = _with_headers(headers or {}, extra.headers)
    return WireRequest(path=path, method="GET", headers=headers)


def _with_query(path: str, query: Mapping[str, str]) -> str:
    if not query:
        return path
    bare, _, old = path.partition("?")
    return f"{bare}?{urlencode({**dict(parse_qsl(old)), **query})}"


def _with_headers(headers: Mapping[str, str], extra: Mapping[str, str]) -> Mapping[str, str]:
    """Both; the caller's header replaces ours whatever its case."""
    if not extra:
        return headers
    taken = {name.lower() for name in extra}
    return {**{name: value for name, value in headers.items() if name.lower() not in taken}, **extra}


def drop(request: ChatRequest | CompleteRequest, warnings: list[str], service: str, what: str) -> None:
    """Note that ``what`` is not sent, as the request's ``unsupported`` mode says.

    Raises:
        ConfigError: The mode is "error".
    """
    if request.unsupported == "error":
        raise ConfigError(f"{service} does not take {what}; leave it out, or call with unsupported='warn'")
    if request.unsupported == "warn":
        warnings.append(f"{service} does not take {what}: not sent")


def note(request: ChatRequest, warnings: list[str], text: str) -> None:
    """Record a change to the conversation that the caller didn't ask for, unless told to be quiet."""
    if request.unsupported != "ignore":
        warnings.append(text)


def one_text(texts: Sequence[str], service: str, what: str) -> str:
    """The only one of the texts, for a service that takes no list.

    Raises:
        ConfigError: There are several, or none.
    """
    if len(texts) != 1:
        raise ConfigError(
            f"{service} takes one {what} a call, got {len(texts)}; make a call for each, "
            "or leave Batch.size above 1: then lists are cut up"
        )
    return texts[0]


def tool_input(arguments: str) -> tuple[Any, bool]:
    """The arguments of a tool call as a JSON object, and whether the text was one.

    The text of an object is kept to the letter. A text that is no object (the model broke off, or wrote
    something else) is wrapped, so that the conversation can go on and the model sees what it wrote.

    Source: Anthropic API documentation, "Fine-grained tool streaming", handling invalid JSON.
    """
    if not arguments or arguments.isspace():
        return {}, True
    try:
        if isinstance(orjson.loads(arguments), dict):
            return orjson.Fragment(arguments), True
    except orjson.JSONDecodeError:
        pass
    return {"INVALID_JSON": arguments}, False


def image_data(image: Image) -> tuple[str, str]:
    """Media type and base64 of an image that carries its bytes, also as a ``data:`` URL; else ("", "")."""
    if image.data:
        return image.media_type, image.data
    head, comma, data = image.url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return head[5:-7] or image.media_type, data
    return "", ""
