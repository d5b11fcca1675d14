"""The bugs. Each is one that somebody could write, or has written (see tests/failure_modes)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTANTS", "SIMULATOR", "Mutant"]

#: Stands among the tests of a mutant for forty random worlds of the simulator.
SIMULATOR = "simulator"


@dataclass(frozen=True)
class Mutant:
    """A deliberate bug: ``old`` stands exactly once in ``file`` (below asyncapi/) and becomes ``new``."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _core(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, f"_core/{file}.py", old, new, tests)


def _policy(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, f"policies/{file}.py", old, new, tests)


QUEUE = "tests/core/test_queue.py"
LEASE = "tests/core/test_lease.py"
KEYS = "tests/core/test_keys.py"
BREAKER = "tests/core/test_breaker.py"
RETRY = "tests/core/test_retry.py"
WORKER = "tests/core/test_worker.py"
CANCEL = "tests/core/test_cancellation.py"
DRAIN = "tests/core/test_drain.py"
GUARDS = "tests/core/test_stream_guards.py"
STREAMS = "tests/core/test_streaming.py"

_LEASES = (
    _core(
        "a permit is never released",
        "endpoint",
        "        self.semaphore.release()\n",
        "",
        QUEUE,
    ),
    _core("a key's place is never given back", "endpoint", "        key.in_flight -= 1\n", "", CANCEL),
    _core(
        "a lease granted to a cancelled call is lost at the caller",
        "endpoint",
        "                self.settle(waiter.result(), IGNORED)\n",
        "                pass\n",
        LEASE,
    ),
    _core(
        "a lease granted to a cancelled call is lost at the worker",
        "worker",
        "            endpoint.leave(call)\n            endpoint.settle(lease, IGNORED)\n",
        "            endpoint.leave(call)\n",
        LEASE,
        CANCEL,
    ),
    _core(
        "a lease may be released twice",
        "endpoint",
        "        if lease.released:\n",
        "        if lease.released and False:\n",
        LEASE,
    ),
    _core(
        "a rate is not refunded when nothing was sent",
        "endpoint",
        "            key.give_back()\n",
        "            pass\n",
        LEASE,
    ),
    _core(
        "tokens are not settled",
        "endpoint",
        "            settle_tokens(lease, error, response, now)\n",
        "            pass\n",
        "tests/core/test_tokens.py",
        "tests/failure_modes/test_wrong_estimates.py",
    ),
    _core(
        "a release wakes nobody",
        "endpoint",
        "        else:\n            key.give_back()\n        self.worker.kick()\n",
        "        else:\n            key.give_back()\n",
        QUEUE,
    ),
    _core(
        "the limit is not asked",
        "admission",
        "    if endpoint.semaphore.locked():\n        return LOCKED\n",
        "",
        SIMULATOR,
        QUEUE,
    ),
    _core(
        "newcomers overtake those who wait", "admission", "    if behind:\n        return BEHIND\n", "", QUEUE
    ),
    _core(
        "an open breaker lets everybody through",
        "admission",
        "    breaker_s = endpoint.breaker.wait(now)\n",
        "    breaker_s = 0.0\n",
        SIMULATOR,
        SIMULATOR,
        BREAKER,
    ),
    _core(
        "a service's rest is not kept",
        "admission",
        "    cool_s = endpoint.cool_until - now\n",
        "    cool_s = 0.0\n",
        SIMULATOR,
        RETRY,
    ),
    _core(
        "a call waits for a key that never comes",
        "admission",
        "    if key_s == math.inf:\n",
        "    if key_s == -math.inf:\n",
        KEYS,
    ),
    _core(
        "a call waits beyond its deadline",
        "admission",
        "    if call.deadline is not None and now + earliest >= call.deadline:\n",
        "    if call.deadline is None and now < 0:\n",
        BREAKER,
        KEYS,
    ),
)

_QUEUES = (
    _core(
        "who gives up stays in the queue",
        "endpoint",
        "            elif call.waiting:\n                self.leave(call)\n            raise\n",
        "            raise\n",
        QUEUE,
    ),
    _core(
        "the dead keep their places in a full queue",
        "queue",
        "        self._gone(call)\n        dead =",
        "        dead =",
        QUEUE,
        "tests/failure_modes/test_orphan_entries.py",
    ),
    _core("the queue takes one too many", "queue", ">= self.bound", "> self.bound", QUEUE),
    _core(
        "eviction hits the oldest",
        "queue",
        "next(reversed(calls.values()))",
        "next(iter(calls.values()))",
        QUEUE,
        "tests/core/test_admission.py",
    ),
    _core(
        "eviction hits one's own priority",
        "queue",
        "self._newcomers[priority + 1 :]",
        "self._newcomers[priority:]",
        QUEUE,
        "tests/core/test_admission.py",
    ),
    _core(
        "a retry loses its place",
        "endpoint",
        "            tag = min(kept, tag)\n",
        "            tag = max(kept, tag)\n",
        QUEUE,
    ),
    _core(
        "those set aside are forgotten",
        "worker",
        "        self._endpoint.queue.bring_back()\n",
        "",
        WORKER,
    ),
    _policy(
        "a large call's key is not held for it",
        "keys",
        "            self.held[key] = max(self.held.get(key, now), now + seconds)\n",
        "            pass\n",
        WORKER,
    ),
    _core(
        "a full queue gives up the oldest",
        "queue",
        "next(reversed(calls.values()))",
        "next(iter(calls.values()))",
        QUEUE,
    ),
    _policy(
        "a newcomer starts at the tag being served",
        "fairness",
        "start = max(start, min(self._virtual, self._tag + share))",
        "start = max(start, self._tag)",
        "tests/policies/test_fairness.py",
    ),
    _policy(
        "a debit of tokens is forgotten",
        "tokens",
        "            self._add(more, now)\n            return\n",
        "            return\n",
        "tests/policies/test_tokens.py",
    ),
    _policy(
        "tokens that were given back are given twice",
        "tokens",
        "            self._used += more\n",
        "            self._used += 2 * more\n",
        "tests/policies/test_tokens.py",
    ),
    _core(
        "the hopeless are let in",
        "refusals",
        "    if not wait or now + wait + endpoint.typical_s <= call.deadline:\n",
        "    if True:\n",
        "tests/core/test_overload.py",
    ),
    _core(
        "nobody wakes the worker when a wait is over",
        "worker",
        "        timer = loop.call_later(seconds, self.kick) if seconds < math.inf else None\n",
        "        timer = None\n",
        KEYS,
    ),
    _core(
        "a turn of the pace is kept for later",
        "worker",
        "        self._endpoint.paced = False  # a turn",
        "        # a turn",
        WORKER,
    ),
    _core(
        "a worker that fails leaves its callers waiting",
        "worker",
        "            self._endpoint.reject(call, failure)\n",
        "            pass\n",
        WORKER,
    ),
    Mutant(
        "strict priorities instead of fair ones",
        "runtime.py",
        "order=Strict() if settings.strict else ",
        "order=Strict() or ",
        (QUEUE,),
    ),
    _policy(
        "the cost of a call is ignored",
        "fairness",
        "cost / flow.weight, flow.finish",
        "1.0 / flow.weight, flow.finish",
        "tests/policies/test_fairness.py",
    ),
    _policy(
        "idle time is saved up",
        "fairness",
        "            start = max(start, min(self._virtual, self._tag + share))\n",
        "            pass\n",
        "tests/policies/test_fairness.py",
    ),
    _policy(
        "a flow pays for calls that were cancelled",
        "fairness",
        "        flow.finish = ends[-1] if ends else flow.served\n        if len(gone)",
        "        if len(gone)",
        "tests/policies/test_fairness.py",
    ),
    _policy(
        "HIGH counts no more than LOW",
        "fairness",
        "Priority.HIGH: 16.0",
        "Priority.HIGH: 1.0",
        "tests/policies/test_fairness.py",
    ),
)

_RETRIES = (
    _core(
        "a cancellation is tried again",
        "settling",
        "        endpoint.settle(lease, IGNORED)\n        return None\n",
        "        endpoint.settle(lease, IGNORED)\n        return 0.0\n",
        CANCEL,
    ),
    _core(
        "a retry is planned beyond the deadline",
        "settling",
        "    if call.deadline is not None and now + delay >= call.deadline:\n        return None\n",
        "",
        RETRY,
    ),
    _core(
        "retries have no budget",
        "settling",
        "    if not judgement.free and not endpoint.budget.withdraw():\n        return None\n",
        "",
        SIMULATOR,
        RETRY,
    ),
    _core(
        "a closed client goes on trying",
        "settling",
        "    if endpoint.closed:\n        return None\n",
        "",
        DRAIN,
    ),
    _policy(
        "one attempt too many",
        "retry",
        "        if failed >= self.settings.attempts:\n",
        "        if failed > self.settings.attempts:\n",
        RETRY,
    ),
    _policy(
        "a retry comes before the service wants it",
        "retry",
        "asked * (1.0 + 0.1 * ",
        "asked * (0.95 + 0.1 * ",
        "tests/policies/test_retry.py",
    ),
    _policy(
        "all come back in the same instant",
        "retry",
        "        return self._random.random() * ceiling\n",
        "        return ceiling\n",
        "tests/policies/test_retry.py",
    ),
    _policy(
        "every call pays for a whole retry",
        "retry",
        "self.tokens + self._share)",
        "self.tokens + 1.0)",
        "tests/policies/test_retry.py",
    ),
    _policy(
        "a wait of a week is waited for",
        "retry",
        "        if asked is not None and asked > LONGEST_WAIT_S:\n            return None\n",
        "",
        "tests/policies/test_retry.py",
        KEYS,
    ),
)

_BREAKERS = (
    _policy(
        "mistakes and 429s count as slow answers",
        "breaker",
        "            if verdict is _OK or verdict is _FAILED or verdict is _SLOW:\n",
        "            if verdict:\n",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "the generation of a permit is ignored",
        "breaker",
        "        if permit.generation != self.generation:\n            return\n",
        "",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "one probe too many",
        "breaker",
        "        if len(self._probes) < self.settings.probes:\n            return 0.0\n",
        "        if len(self._probes) <= self.settings.probes:\n            return 0.0\n",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "a cancelled probe keeps its place",
        "breaker",
        "        self._probes.pop(0)\n",
        "        if verdict is not Verdict.IGNORED:\n            self._probes.pop(0)\n",
        SIMULATOR,
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "one good probe is enough",
        "breaker",
        "self._successes >= self.settings.successes",
        "self._successes >= 1",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "a probe that hangs holds the breaker half-open",
        "breaker",
        "        if hung_at - now <= EPSILON_S:\n",
        "        if hung_at is None:\n",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "an outage lasts as long as the first time",
        "breaker",
        "        factor: float = math.ldexp(1.0, min(max(self._opened - 1, 0), 30))\n",
        "        factor = 1.0\n",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "the breaker ignores Retry-After",
        "breaker",
        "max(rest, retry_after or 0.0)",
        "rest",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "old outcomes are never forgotten",
        "breaker",
        "        while outcomes[0][0] < horizon:\n            self._forget()\n",
        "",
        "tests/policies/test_breaker.py",
    ),
    _policy(
        "a success does not end a row of failures",
        "breaker",
        "            self._consecutive = 0\n            return\n",
        "            return\n",
        "tests/policies/test_breaker.py",
    ),
    _core(
        "those who wait are not told that the breaker opened",
        "endpoint",
        '                if call.on_open == "fail":\n',
        "                if call.on_open is None:\n",
        BREAKER,
    ),
    _core(
        "after an outage all come back at once",
        "endpoint",
        "            self.semaphore.restart(self.clock())",
        "            self.clock()",
        BREAKER,
        "tests/core/test_breaker_ramp.py",
    ),
    _core(
        "a caller's short patience is the service's fault",
        "settling",
        " and now - lease.granted >= lease.call.endpoint.typical_s\n",
        "\n",
        BREAKER,
    ),
    _policy(
        "a 429 is a failure",
        "verdict",
        "RateLimitError: Judgement(Verdict.THROTTLED,",
        "RateLimitError: Judgement(Verdict.FAILED,",
        "tests/policies/test_verdict.py",
    ),
    _policy(
        "a 4xx is a failure",
        "verdict",
        "    ProviderError: IGNORED,\n",
        "    ProviderError: Judgement(Verdict.FAILED),\n",
        "tests/policies/test_verdict.py",
    ),
)

_LIMITS = (
    _policy(
        "two cuts for one congestion",
        "limits",
        "            if ended.started > self.cut_at:\n",
        "            if ended.started > -1.0:\n",
        "tests/policies/test_limits.py",
    ),
    _policy(
        "a limit grows while it is not used",
        "limits",
        "if ended.in_flight >= 0.8 * self.value and 0.0",
        "if 0.0",
        "tests/policies/test_limits.py",
    ),
    _policy(
        "a ramp that begins at the top",
        "limits",
        "max(1, under.value // 4)",
        "under.value",
        "tests/policies/test_limits.py",
        BREAKER,
    ),
    _policy(
        "a rest is shortened by a later one",
        "keys",
        "        self.cool_until = max(self.cool_until, until)\n",
        "        self.cool_until = until\n",
        SIMULATOR,
        "tests/policies/test_keys.py",
        KEYS,
    ),
    _core(
        "a service's rest is shortened by a later one",
        "settling",
        "max(endpoint.cool_until, now + rest)",
        "now + rest",
        RETRY,
    ),
    _core("a throttled key goes on", "settling", "        key.cool(now + rest)\n", "", KEYS),
    _core("a revoked key goes on", "settling", "        key.park(now + rest, error.kind)\n", "", KEYS),
    _policy(
        "a key's rate is never charged",
        "keys",
        "        if self.rate is not None:\n            self.rate.take(now)\n",
        "",
        SIMULATOR,
        "tests/policies/test_keys.py",
        KEYS,
    ),
    _policy(
        "a user's own key is lent to others",
        "keys",
        "return reserved or [key for key in self.keys if not key.users]",
        "return reserved or self.keys",
        "tests/policies/test_keys.py",
        KEYS,
    ),
    _policy(
        "requests under way are not counted against what a service says is left",
        "keys",
        "window, self.sent - number, now)",
        "window, 0, now)",
        "tests/policies/test_allowance.py",
        "tests/policies/test_keys.py",
    ),
    _policy(
        "a burst that the rate does not pay for",
        "rates",
        "(limit - (burst - 1)) / 60.0",
        "limit / 60.0",
        "tests/policies/test_rates.py",
    ),
    _policy(
        "a quiet minute is saved up",
        "rates",
        "        self._arrival = max(self._arrival, now) + self._interval\n",
        "        self._arrival = max(self._arrival, 0.0) + self._interval\n",
        "tests/policies/test_rates.py",
    ),
    _policy(
        "reserved tokens are never given back",
        "tokens",
        "            rate.correct(entry, charge.amount[place], used[place], now)\n",
        "            pass\n",
        "tests/core/test_tokens.py",
        "tests/policies/test_tokens.py",
        "tests/failure_modes/test_wrong_estimates.py",
    ),
    _policy(
        "tokens beyond the estimate are free",
        "tokens",
        "            self._add(more, now)\n            return\n",
        "            return\n",
        "tests/policies/test_tokens.py",
        "tests/failure_modes/test_wrong_estimates.py",
    ),
)

_STREAMS_AND_ENDS = (
    _core(
        "a deadline swallows another's cancellation",
        "deadlines",
        "self._task.uncancel() <= self._cancelling and kind",
        "self._task.uncancel() >= 0 and kind",
        "tests/core/test_deadlines.py",
    ),
    _core("a stream is never idle", "watch", "(self._idle and since + self._idle, ", "(None, ", STREAMS),
    _core(
        "a slow reader is taken for a slow service",
        "streaming",
        "                    watch.since = None\n                    if data:",
        "                    if data:",
        STREAMS,
    ),
    _core(
        "a role binds a stream to its target",
        "streaming",
        "not self._begun():",
        "not self._ready:",
        GUARDS,
    ),
    _core(
        "who leaves a stream keeps its permit",
        "streaming",
        "        self._release(IGNORED)\n        if self._ended:\n",
        "        if self._ended:\n",
        STREAMS,
    ),
    _core(
        "an attempt's first words stand before the next one's",
        "streaming",
        "        self._ready.clear()",
        "        pass",
        GUARDS,
    ),
    _policy(
        "a trickle is fast enough",
        "throughput",
        "max(0.0, self.left - waited)",
        "self.left",
        "tests/policies/test_throughput.py",
    ),
    _policy(
        "a stream goes on with another service's answer",
        "routing",
        "    StreamInterruptedError: False,\n",
        "    StreamInterruptedError: True,\n",
        "tests/policies/test_routing.py",
    ),
    _core(
        "copies of late calls have no budget",
        "hedging",
        "            self.budget.left\n            and endpoint.budget.left\n",
        "            True\n",
        "tests/core/test_hedging.py",
    ),
    _policy(
        "copies of late calls cost nothing",
        "hedging",
        "        self.tokens -= 1.0\n",
        "        pass\n",
        "tests/policies/test_hedging.py",
        "tests/core/test_hedging.py",
    ),
    _policy(
        "what changes something is sent twice",
        "hedging",
        "    return request.operation in _READS\n",
        "    return True\n",
        "tests/policies/test_hedging.py",
    ),
    _core(
        "a flight goes on though nobody wants it",
        "singleflight",
        "        assert flight.task is not None\n        flight.task.cancel()\n",
        "",
        "tests/core/test_singleflight.py",
    ),
    _core(
        "followers are lost with the first to leave",
        "singleflight",
        "        if flight.aboard or flight.ended:\n",
        "        if flight.ended:\n",
        "tests/core/test_singleflight.py",
    ),
    _core(
        "a flight that has landed is boarded again",
        "singleflight",
        "        self._close(flight)  # before",
        "        # before",
        "tests/core/test_singleflight.py",
    ),
    _core(
        "answers of a batch go to the wrong members",
        "sender",
        "zip(items, answers, strict=True)",
        "zip(reversed(items), answers, strict=True)",
        "tests/core/test_batcher.py",
    ),
    _core(
        "a call in backoff does not hear of the end",
        "endpoint",
        "        self.backoff.end()\n",
        "",
        DRAIN,
    ),
    _core(
        "a drain waits for nobody",
        "shutdown",
        "while not self.closed and any(",
        "while self.closed and any(",
        DRAIN,
    ),
    _core(
        "a cancelled drain closes nothing",
        "shutdown",
        "        finally:\n            await self._close()\n",
        "        except asyncio.CancelledError:\n            raise\n        await self._close()\n",
        DRAIN,
    ),
    Mutant(
        "a client that drains takes newcomers",
        "runtime.py",
        "if self._loop is loop and not self._ending:",
        "if self._loop is loop and not self._shutdown.closed:",
        (DRAIN,),
    ),
    _core(
        "calls that end are not counted out",
        "perform",
        "    home.calls -= 1\n",
        "    home.calls -= home.on_rest is None\n",
        DRAIN,
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    *_LEASES,
    *_QUEUES,
    *_RETRIES,
    *_BREAKERS,
    *_LIMITS,
    *_STREAMS_AND_ENDS,
)
