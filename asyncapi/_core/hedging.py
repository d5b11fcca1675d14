"""A second copy of a call that takes long: the first answer of the two counts, the other is ended.

The call itself runs in its caller's task, as every call. Only when it is late does its copy get a task, of
the endpoint's. The copy takes a lease of its own, at once or not at all: it never waits, it is tried once,
and where the budget, the limit, the queue or the breaker is against it there is none, and the call goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace

from asyncapi._core.call import Call
from asyncapi._core.headers import observe
from asyncapi._core.lease import Lease
from asyncapi._core.perform import attempts, decode, exchange, outgoing, within
from asyncapi._core.race import Race
from asyncapi._core.settling import lost
from asyncapi._core.streaming import Stream
from asyncapi.config import Hedge
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.breaker import State
from asyncapi.policies.hedging import HedgeBudget, quantile_of, repeatable
from asyncapi.policies.verdict import IGNORED, OK
from asyncapi.types.responses import Response

if TYPE_CHECKING:
    from asyncapi._core.endpoint import Endpoint

__all__ = ["HedgedStream", "Hedger", "Plan", "hedged", "stream_of", "with_other_key"]

T = TypeVar("T")
R = TypeVar("R", bound=Response)

#: A copy of the call that the lease is of, for somewhere else; None if there is nowhere.
Copy: TypeAlias = Callable[[Call, Lease], Call | None]
#: A limit that is used to this share has no room for copies.
_BUSY = 0.8


class Plan(NamedTuple):
    """How a call is hedged: by whose rules and budget, and where its copy goes."""

    hedger: Hedger
    copy: Copy


class Hedger:
    """The rules of one endpoint or route. State: the ``budget``."""

    def __init__(self, settings: Hedge) -> None:
        self._settings = settings
        self._share = quantile_of(settings)
        self.budget = HedgeBudget(settings.budget)

    def after(self, call: Call) -> float | None:
        """Seconds from sending ``call`` to sending its copy; None while it isn't known what is late."""
        settings, learner = self._settings, call.endpoint.learner
        if self._share is None:
            assert isinstance(settings.after, float)
            return settings.after
        if learner is None or learner.times is None:
            return None
        usual = learner.times.at(call.request, self._share, settings.minimum)
        return None if usual is None else max(usual, settings.least)

    def fits(self, endpoint: Endpoint) -> bool:
        """Whether there is room for a copy, here and in the budgets. What is busy or ill gets none."""
        semaphore = endpoint.semaphore
        return (
            self.budget.left
            and endpoint.budget.left
            and not endpoint.closed
            and endpoint.pace is None
            and endpoint.queue.qsize() == 0
            and semaphore.in_flight < _BUSY * semaphore.limit.value
            and endpoint.breaker.state is State.CLOSED
        )


def with_other_key(call: Call, lease: Lease) -> Call:
    """A copy for the same endpoint, with another key if one is ready."""
    endpoint, options, now = call.endpoint, call.options, call.endpoint.clock()
    others = [
        key
        for key in endpoint.keys.candidates(options.key, options.user)
        if key is not lease.key and key.parked_until <= now and key.wait(now) == 0.0
    ]
    if others:
        other = min(others, key=lambda key: key.in_flight / key.weight)
        options = replace(options, key=other.name)
    copy = Call(endpoint, call.request, options, call.id)
    copy.wire = call.wire
    return copy


async def hedged(call: Call, lease: Lease | None = None) -> Response:
    """``attempts``, for endpoints whose calls may have copies."""
    race: Race[Response] | None = _race(call, _answer, _nothing)
    return await (attempts(call, lease) if race is None else race.run(attempts(call, lease)))


def stream_of(call: Call, *, admitted: bool = False, shared: bool = False) -> Stream[Any]:
    """The stream for a call, hedged or not."""
    return call.endpoint.stream(call, admitted=admitted, shared=shared)


class HedgedStream(Stream[R]):
    """A stream whose first chunk comes from whichever of two has it first."""

    async def _attempts(self) -> None:
        race: Race[Stream[R]] | None = _race(self._call, _begun, _drop)
        if race is None:
            await super()._attempts()
            return
        try:
            winner = await race.run(self._own())
        except BaseException:
            self._release(IGNORED)  # it may have begun, and been cancelled while its copy was ended
            raise
        if winner is not self:
            self._adopt(winner)

    async def _own(self) -> Stream[R]:
        await super()._attempts()
        return self


def _race(call: Call, send: Callable[[Lease], Awaitable[T]], drop: Callable[[T], None]) -> Race[T] | None:
    """What is needed to hedge ``call``, None if it is not to be."""
    plan = call.plan or call.endpoint.plan
    if plan is None or not repeatable(call.request, call.options.idempotent):
        return None
    plan.hedger.budget.deposit()
    after = plan.hedger.after(call)
    return None if after is None else Race(call, plan, after, send, drop)


async def _answer(lease: Lease) -> Response:
    """One attempt, and its end."""
    call = lease.call
    try:
        reply = await exchange(lease, outgoing(lease))
        observe(lease, reply.headers)
        response = decode(call, reply)
    except BaseException as error:
        _end(lease, error)
        raise
    call.endpoint.settle(lease, OK, response=response)
    return response


async def _begun(lease: Lease) -> Stream[R]:
    """One attempt at a stream, up to its first chunk; it keeps its lease."""
    stream: Stream[R] = Stream(lease.call)
    try:
        await within(lease.call, lease.call.timeout.first_token, "token", stream._begin(lease))
    except BaseException as error:
        stream._forget()
        _end(lease, error)
        raise
    return stream


def _end(lease: Lease, error: BaseException) -> None:
    if isinstance(error, AsyncAPIError):
        lost(lease, error)
    else:
        lease.call.endpoint.settle(lease, IGNORED)


def _nothing(answer: Response) -> None:
    """An answer holds nothing."""


def _drop(stream: Stream[R]) -> None:
    """The call itself began in the same turn."""
    stream._release(IGNORED)
