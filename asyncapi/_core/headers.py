"""What a reply's headers say of the key that was used and of the service behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from asyncapi._core.lease import Lease
from asyncapi._core.metering import observe_tokens

__all__ = ["observe"]


def observe(lease: Lease, headers: Mapping[str, str]) -> None:
    """Tell the key what it has left of requests and tokens, and the endpoint how many wait at the service."""
    endpoint = lease.call.endpoint
    service = endpoint.backend.service
    rate, load = service.rate_headers, service.load
    if rate is not None and (remaining := _number(headers.get(rate.remaining))) is not None:
        limit = _number(headers.get(rate.limit))
        if limit is not None and limit >= 1:
            now = endpoint.clock()
            lease.key.told(remaining, limit, rate.window, lease.number, now)
            for names in service.token_headers:  # whoever says the one says the other
                observe_tokens(lease, names, headers, now)
            if endpoint.queue.qsize():
                # More may be left than was thought, and a stream settles only at its end.
                endpoint.worker.kick()
    if load is not None and (told := headers.get(load.header)) is not None:
        found = re.search(load.pattern, told)
        endpoint.waiting_there = float(found[1]) if found else 0.0
        endpoint.waiting_told = endpoint.clock()


def _number(text: str | None) -> float | None:
    """A count in a header, None for anything else."""
    return float(text) if text is not None and text.isdecimal() else None
