"""Operations that only one service has: a table of actions for each, and the way there and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from asyncapi.backends._encoding import get_request, json_request
from asyncapi.backends._openai_reply import request_id
from asyncapi.errors import AsyncAPIError, ConfigError, UnsupportedOperationError
from asyncapi.types.requests import NativeRequest
from asyncapi.types.responses import NativeResponse
from asyncapi.types.wire import WireRequest, WireResponse
from asyncapi.wire.errors import is_error
from asyncapi.wire.json import loads

__all__ = ["Action", "native_request", "native_response"]


class Action(NamedTuple):
    """One action of a service.

    ``model`` is the field of the body that takes the model, empty if there is none; ``fixed`` goes over
    the caller's arguments; ``silent`` says that an answer without a body means that all is well.
    """

    method: str
    path: str
    model: str = ""
    fixed: Mapping[str, Any] = {}
    silent: bool = False


def native_request(actions: Mapping[str, Action], request: NativeRequest, service: str) -> WireRequest:
    """The request for an action.

    Raises:
        UnsupportedOperationError: The service has no such action; the message names those it has.
        ConfigError: The action needs a model.
    """
    action = _action(actions, request, service)
    if action.method == "GET":
        query = f"?{urlencode(request.arguments)}" if request.arguments else ""
        return get_request(action.path + query, request.extra)
    body = {**request.arguments, **action.fixed}
    if action.model:
        body = {action.model: request.model, **body}
        if not body[action.model]:
            raise ConfigError(f"{request.action} needs a model: write {service}:model")
    return json_request(action.path, body, service, request.extra)


def native_response(
    actions: Mapping[str, Action],
    request: NativeRequest,
    reply: WireResponse,
    service: str,
    failure: Callable[[WireResponse], AsyncAPIError],
) -> NativeResponse:
    """The answer of an action; its result is None where the service says nothing.

    Raises:
        DecodeError: The answer is not JSON.
        ProviderError: The body of the 200 holds an error.
    """
    silent = _action(actions, request, service).silent and not reply.body.strip()
    result = None if silent else loads(reply.body, service)
    if is_error(result):
        raise failure(reply)
    return NativeResponse(
        model=request.model,
        result=result,
        raw=result,
        provider_request_id=request_id(reply.headers),
    )


def _action(actions: Mapping[str, Action], request: NativeRequest, service: str) -> Action:
    action = actions.get(request.action)
    if action is None:
        raise UnsupportedOperationError(
            f"{service} has no action {request.action!r}; it has: {', '.join(sorted(actions))}"
        )
    return action
