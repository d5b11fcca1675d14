"""What a run needs of a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, Unpack

from asyncapi.client import CallOptions
from asyncapi.errors import AsyncAPIError
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = ["Finished", "Mapper"]


class Finished(Protocol):
    """One finished item of ``Mapper.map``."""

    @property
    def index(self) -> int:
        """Its place in the source."""
        ...

    @property
    def response(self) -> Response | None:
        """The answer, None when it failed."""
        ...

    @property
    def error(self) -> AsyncAPIError | None:
        """Why it failed."""
        ...


class Mapper(Protocol):
    """The part of ``asyncapi.Client`` that a run uses."""

    def check(self, model: str, /) -> None:
        """Refuse a model or a route that can't be asked at all.

        Raises:
            ConfigError: There is no such endpoint, or it has no key or URL.
        """
        ...

    def map(
        self, requests: AsyncIterator[Request], /, *, max_in_flight: int, **options: Unpack[CallOptions]
    ) -> AsyncIterator[Finished]:
        """Send a lazy source of requests and give the results as they finish.

        The source may wait for results to be taken before it gives its next request: it is read beside them.
        """
        ...
