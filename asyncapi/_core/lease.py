"""Everything that a send needs, granted at once and released once."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from asyncapi.policies.breaker import Permit
from asyncapi.policies.keys import KeyState
from asyncapi.policies.tokens import Charge

if TYPE_CHECKING:
    from asyncapi._core.call import Call

__all__ = ["Lease"]


@final
class Lease:
    """A turn, a permit of the semaphore, a breaker permit, a place in the rates, and a key.

    Ends in exactly one ``Endpoint.settle``; a second one is a bug and raises.

    State: the ``charge`` of tokens, if the key counts them; ``sent`` (the number of the attempt once it was
    given to the transport, 0 before), ``released``.
    """

    __slots__ = ("call", "charge", "granted", "key", "number", "permit", "released", "sent")

    def __init__(self, call: Call, permit: Permit, key: KeyState, granted: float) -> None:
        self.call = call
        self.permit = permit
        self.key = key
        self.granted = granted
        self.number = key.sent
        self.charge: Charge | None = None
        self.sent = 0
        self.released = False
