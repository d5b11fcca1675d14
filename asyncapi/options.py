"""What a caller may say of any call, beside the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from asyncapi._core.call import Options
from asyncapi._core.endpoint import Endpoint
from asyncapi.config import OnOpen, Timeout
from asyncapi.config.fields import did_you_mean
from asyncapi.errors import ConfigError
from asyncapi.types.requests import Priority

__all__ = ["DEFAULT", "OPTIONS", "CallOptions", "check_options", "options_of"]

CacheUse: TypeAlias = Literal["use", "refresh", "off"]


class CallOptions(TypedDict, total=False):
    """What a caller may say of any call, beside the request.

    ``timeout`` is a ``Timeout``, or seconds in total, or None for no limit in total. ``key`` pins the
    call to the key of that name, ``user`` prefers the keys reserved for that user, ``tenant`` is the
    flow that shares the queue fairly with others, ``tag`` a label in the statistics. Calls of one
    ``session`` go to the same key, and on a route that shares its load to the same target, whose prompt
    cache knows them, while that has room. ``idempotent`` says whether the call may be sent twice, where it is
    hedged; None: as its operation is.

    ``cache``: "use" it, "refresh" what is in it by asking the service, or leave it "off". ``single_flight``
    says whether the call may share the answer of an identical one in flight.
    """

    priority: Priority
    timeout: Timeout | float | None
    request_id: str
    key: str | None
    user: str | None
    tenant: str
    tag: str
    session: str
    idempotent: bool | None
    on_open: OnOpen | None
    shed: bool
    cache: CacheUse
    single_flight: bool


OPTIONS = frozenset(CallOptions.__annotations__)

#: Those of a call that says nothing.
DEFAULT = Options()


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse what is no option: a typing error would be ignored quietly.

    Raises:
        ConfigError: Names it, and the option that may be meant.
    """
    for name in given:
        if name not in OPTIONS:
            raise ConfigError(f"no option of a call is named {name!r}; {did_you_mean(name, OPTIONS)}")


def options_of(endpoint: Endpoint, given: CallOptions) -> Options:
    """The same, checked and in normal form. A bare number of seconds is the time in total."""
    check_options(given)
    values: dict[str, Any] = {**given}
    if "timeout" in values and not isinstance(values["timeout"], Timeout):
        values["timeout"] = msgspec.structs.replace(endpoint.timeout, total=values["timeout"])
    return Options(**values)
