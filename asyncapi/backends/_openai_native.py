"""Operations that only one service of the dialect has: the row's table of actions."""

from __future__ import annotations

import re
from urllib.parse import quote

from msgspec.structs import replace

from asyncapi.backends._native import native_request, native_response
from asyncapi.backends._openai_codec import Codec
from asyncapi.errors import ConfigError
from asyncapi.types.requests import NativeRequest
from asyncapi.types.responses import NativeResponse
from asyncapi.types.wire import WireRequest, WireResponse

__all__ = ["Native"]

_PLACE = re.compile(r"\{(\w+)\}")


class Native(Codec[NativeRequest]):
    """An action of the service's own."""

    operation = "native"

    def write(self, request: NativeRequest, notes: list[str]) -> WireRequest:
        """The whole request: its path and method are the action's.

        Raises:
            UnsupportedOperationError: The service has no such action.
            ConfigError: A path's placeholder has no argument, or the action needs a model.
        """
        action = self.quirks.natives.get(request.action)
        if action is not None and (places := _PLACE.findall(action.path)):
            arguments = dict(request.arguments)
            for name in places:
                if not isinstance(value := arguments.pop(name, None), str) or not value:
                    raise ConfigError(f"{request.action} needs an argument {name!r}, a text")
                action = action._replace(path=action.path.replace(f"{{{name}}}", quote(value, safe="")))
            request = replace(request, arguments=arguments)
            return native_request({request.action: action}, request, self.service)
        return native_request(self.quirks.natives, request, self.service)

    def read(self, request: NativeRequest, reply: WireResponse) -> NativeResponse:
        """The service's JSON."""
        return native_response(self.quirks.natives, request, reply, self.service, self.failure)
