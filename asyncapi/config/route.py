"""Settings of routes: several targets behind one name, and which of them are left out."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from asyncapi.config.fields import Count, Portion, Seconds, check_fields, shown
from asyncapi.config.settings import Hedge
from asyncapi.errors import ConfigError

__all__ = ["Outliers", "Route", "RouteStrategy"]

RouteStrategy: TypeAlias = Literal["in_order", "least_loaded", "adaptive"]


class Outliers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a target of a route is ejected: tried only after the others for a while.

    After ``consecutive`` failures in a row, or when its success rate of this ``interval`` is more than
    ``margin`` below the mean of the others', where each had ``minimum`` ends or more. The first time for
    ``base`` seconds, the second for twice that, up to ``maximum``; an interval without ejection takes one
    time back. At most this ``share`` of the targets is out at once, at least one may be, and never all.
    """

    consecutive: Count = 5
    interval: Seconds = 30.0
    minimum: Count = 20
    margin: Portion = 0.3
    base: Seconds = 30.0
    maximum: Seconds = 300.0
    share: Portion = 0.5

    def __post_init__(self) -> None:
        check_fields(self, "outliers")
        if self.maximum < self.base:
            raise ConfigError(
                f"outliers.maximum: expected at least outliers.base ({shown(self.base)}), "
                f"got {shown(self.maximum)}"
            )


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name for several targets (``endpoint:model``).

    ``strategy`` "in_order" tries them as they are written, or by ``weights`` where there are some;
    "least_loaded" begins with the endpoint that has the least under way for its limit, counting
    what the service itself says is waiting there; "adaptive" with the better of two that chance draws, by
    what is under way, how long answers take, failures, and what the service says is left of its limits.
    ``outliers`` ejects targets that fail when others don't. ``hedge`` sends second copies of calls that take
    long to the next target, if they may be sent twice; True is ``Hedge()``.
    """

    targets: Annotated[tuple[str, ...], msgspec.Meta(description='an array of "endpoint:model"')]
    weights: Annotated[tuple[float, ...], msgspec.Meta(description="an array of numbers above 0")] = ()
    strategy: RouteStrategy = "in_order"
    outliers: Outliers | None = None
    hedge: Hedge | bool | None = None

    def __post_init__(self) -> None:
        check_fields(self, "route")
        if not self.targets:
            raise ConfigError("route.targets: expected one target or more, got none")
        if self.weights and (len(self.weights) != len(self.targets) or min(self.weights) <= 0):
            raise ConfigError("route.weights: expected a number above 0 for each target, or none at all")
        for target in self.targets:
            endpoint, _, model = target.partition(":")
            if not endpoint.strip() or not model.strip():
                raise ConfigError(f'route.targets: expected "endpoint:model", got {shown(target)}')
