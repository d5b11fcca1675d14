"""What a command wants of its endpoints where nobody said otherwise, as variables below all that was said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asyncapi.backends import known_backends
from asyncapi.config import Endpoint, Settings
from asyncapi.config.environment import WORDS, profile_variable, scope, used, value_of
from asyncapi.config.layers import Layer, file_layer

__all__ = ["BULK_PROFILE", "with_defaults"]

#: What a bulk run gets where nobody said otherwise: it waits out an outage.
BULK_PROFILE = "high-reliability"

#: With calls waiting it is known within seconds that a service is back: the profile's 15 s would stand idle.
_BULK_BREAKER = {"BREAKER_RESET_AFTER": "2", "BREAKER_RESET_MAXIMUM": "60"}
#: A service that never answers would hold an item of a patient run for half an hour.
_BULK_TIMEOUT = {"TIMEOUT_FIRST_BYTE": "300"}
_EMULATED_TIMEOUTS = ({"TIMEOUT_FIRST_BYTE": "5"}, {"TIMEOUT_IDLE": "5"})


def with_defaults(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    in_flight: int | None,
    emulated: bool,
    profile: str | None,
) -> dict[str, str]:
    """The environment, with variables for what neither it nor the file says of an endpoint.

    Args:
        settings: What the file says.
        environment: What the user set; it stays as it is.
        in_flight: For bulk work: how many calls shall be in flight.
        emulated: Whether an emulator answers, which is never slow.
        profile: The one chosen by the user, whose breaker is left alone.
    """
    endpoints = settings.endpoints or tuple(map(Endpoint, known_backends()))
    added: dict[str, str] = {}
    for endpoint in endpoints:
        name, said = endpoint.name or endpoint.backend, file_layer(endpoint)
        if not scope(name):
            continue  # no variable can be for a name without a letter or digit
        groups = list(_EMULATED_TIMEOUTS) if emulated else []
        if in_flight is not None:
            chosen = profile or endpoint.profile or profile_variable(name, environment)
            groups += _bulk(in_flight, emulated=emulated, own_breaker=not chosen)
        for group in groups:
            # A group is taken whole or not at all: half of it may not fit the other half.
            if not _said(group, name, said, environment):
                added |= {f"{scope(name)}{word}": value for word, value in group.items()}
    return {**environment, **added}


def _bulk(in_flight: int, *, emulated: bool, own_breaker: bool) -> list[dict[str, str]]:
    """What bulk work wants."""
    groups = [{"LIMIT": str(in_flight)}]
    groups += [_BULK_TIMEOUT] * (not emulated)
    groups += [_BULK_BREAKER, _breaker_for(in_flight)] * own_breaker
    return groups


def _breaker_for(in_flight: int) -> dict[str, str]:
    """When a breaker opens: of many in flight the failed are back first, so five in a row are no outage."""
    return {
        "BREAKER_FAILURE_THRESHOLD": str(max(5, in_flight // 3)),
        "BREAKER_MINIMUM_CALLS": str(max(10, in_flight // 2)),
        "BREAKER_WINDOW": str(max(50, 2 * in_flight)),
    }


def _said(words: Iterable[str], name: str, file: Layer, environment: Mapping[str, str]) -> bool:
    """Whether file or environment say anything of these words."""
    for word in words:
        place = WORDS[word]
        table = file.get(place.section, {})
        if isinstance(table, Mapping) and (place.field in table or (table and not place.field)):
            return True
        if place.field or not place.section:
            variables = [f"{prefix}{word}" for prefix in ("ASYNCAPI_", scope(name))]
        else:  # the short form of a section: every word of it counts
            variables = list(used(place.section, name, environment))
        if any(value_of(variable, environment) for variable in variables):
            return True
    return False
