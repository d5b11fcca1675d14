"""Actions whose path holds the model: the tables of servers that hold many models."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from asyncapi.backends._encoding import get_request
from asyncapi.backends._native import Action, native_request
from asyncapi.types.requests import NativeRequest
from asyncapi.types.wire import WireRequest

__all__ = ["MODEL", "action_request"]

#: What stands in an action's path for the model.
MODEL = "{model}"


def action_request(
    actions: Mapping[str, Action],
    request: NativeRequest,
    service: str,
    place: Callable[[NativeRequest], tuple[str, NativeRequest]],
) -> WireRequest:
    """The request for an action.

    Args:
        actions: The service's actions; ``{model}`` in a path stands for the model.
        request: What is asked.
        service: Name of the service, for messages.
        place: The model as a piece of a path, and the request without the arguments used for that.

    Raises:
        UnsupportedOperationError: The service has no such action; the message names those it has.
        ConfigError: The action needs a model.
    """
    action = actions.get(request.action)
    if action is not None and MODEL in action.path:
        piece, request = place(request)
        action = action._replace(path=action.path.replace(MODEL, piece))
        actions = {request.action: action}
    if action is not None and action.silent and action.method == "POST" and not request.arguments:
        return msgspec.structs.replace(get_request(action.path, request.extra), method="POST")
    return native_request(actions, request, service)
