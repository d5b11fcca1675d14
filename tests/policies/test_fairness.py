"""Whose turn it is: shares by weight, nobody starves, nobody pushes in, and what waits is all it costs."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.fairness import WEIGHTS, Fair, Order, Strict
from asyncapi.types.requests import Priority

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW
PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)

Flow = tuple[Hashable, Priority]


class Call(NamedTuple):
    """A waiting call; (tag, sequence) is its place, as in the endpoint's queue."""

    tag: float
    sequence: int
    flow: Flow
    cost: float


class Queue:
    """The endpoint's queue, without its tasks: calls come, leave, and get their turn."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.heap: list[Call] = []
        self.sequence = 0

    def enter(self, tenant: Hashable, priority: Priority = NORMAL, cost: float = 1.0) -> Call:
        self.sequence += 1
        call = Call(self.order.enter(tenant, priority, cost), self.sequence, (tenant, priority), cost)
        heapq.heappush(self.heap, call)
        return call

    def grant(self) -> Call:
        call = heapq.heappop(self.heap)
        self.order.granted(*call.flow, call.tag, call.cost)
        return call

    def leave(self, call: Call) -> None:
        self.heap.remove(call)
        heapq.heapify(self.heap)
        self.order.left(*call.flow, call.tag, call.cost)

    def waiting(self) -> Counter[Flow]:
        return Counter(call.flow for call in self.heap)

    def drain(self) -> list[Call]:
        return [self.grant() for _ in range(len(self.heap))]


def tenants(calls: Iterable[Call]) -> str:
    return "".join(str(call.flow[0]) for call in calls)


# -- shares -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [Fair, Strict])
def test_one_flow_is_first_come_first_served(order: type[Fair | Strict]) -> None:
    """Within a flow nobody overtakes, whatever the costs."""
    queue = Queue(order())
    random = Random(1)
    calls = [queue.enter("a", cost=random.choice([0.1, 1.0, 50.0])) for _ in range(50)]

    assert queue.drain() == calls


def test_priorities_share_by_weight() -> None:
    """While all wait, HIGH : NORMAL : LOW are served 16 : 4 : 1."""
    queue = Queue(Fair())
    for priority in (LOW, NORMAL, HIGH):
        for _ in range(200):
            queue.enter("a", priority)
    counts = Counter(queue.grant().flow[1] for _ in range(210))

    for priority, share in ((HIGH, 160), (NORMAL, 40), (LOW, 10)):
        assert counts[priority] == pytest.approx(share, abs=2)


def test_dear_calls_get_fewer_turns() -> None:
    """Service is measured in cost, not in calls."""
    queue = Queue(Fair())
    for _ in range(100):
        queue.enter("dear", cost=10.0)
    for _ in range(100):
        queue.enter("cheap", cost=1.0)
    counts = Counter(queue.grant().flow[0] for _ in range(55))

    assert counts["dear"] == pytest.approx(5, abs=1)


def keeps_the_bound(queue: Queue, seed: int) -> None:
    """Random calls; while two flows both wait, their normalised service stays within one call of each."""
    random = Random(seed)
    flows: list[Flow] = [("a", HIGH), ("a", LOW), ("b", NORMAL), ("c", NORMAL), ("c", HIGH)]
    dearest: defaultdict[Flow, float] = defaultdict(float)
    #: pair -> service of the first less that of the second since both wait: (now, lowest, highest)
    spread: dict[tuple[Flow, Flow], tuple[float, float, float]] = {}
    fifo: defaultdict[Flow, deque[Call]] = defaultdict(deque)
    for _ in range(200):
        if random.random() < 0.3:
            queue.enter(("passing", queue.sequence), random.choice([HIGH, NORMAL]))  # moves virtual time
        for _ in range(random.choice([0, 0, 1, 2, 8])):
            flow = random.choice(flows)
            call = queue.enter(*flow, random.choice([0.5, 1.0, 3.0, 20.0]))
            fifo[flow].append(call)
            dearest[flow] = max(dearest[flow], call.cost)
        if queue.heap and random.random() < 0.15:
            # The newest of its flow: those that wait behind a cancelled call keep their places.
            known = [call for call in queue.heap if call.flow in fifo]
            if known:
                queue.leave(fifo[random.choice(known).flow].pop())
        spread = {
            (one, other): spread.get((one, other), (0.0, 0.0, 0.0))
            for i, one in enumerate(flows)
            for other in flows[i + 1 :]
            if fifo[one] and fifo[other]
        }
        if not queue.heap:
            continue
        call = queue.grant()
        assert call.flow not in flows or fifo[call.flow].popleft() is call
        for i, one in enumerate(flows):
            for other in flows[i + 1 :]:
                pair = one, other
                if pair not in spread:
                    continue
                now, low, high = spread[pair]
                if call.flow == one:
                    now += call.cost / WEIGHTS[one[1]]
                elif call.flow == other:
                    now -= call.cost / WEIGHTS[other[1]]
                low, high = min(low, now), max(high, now)
                spread[pair] = now, low, high
                bound = dearest[one] / WEIGHTS[one[1]] + dearest[other] / WEIGHTS[other[1]]
                assert high - low <= bound + 1e-6
        spread = {pair: run for pair, run in spread.items() if fifo[pair[0]] and fifo[pair[1]]}


@pytest.mark.slow
@PROPERTY
@given(seed=st.integers(0, 2**32))
def test_two_flows_that_wait_differ_by_one_call_of_each(seed: int) -> None:
    """|W_i / w_i - W_j / w_j| <= L / w_i + L / w_j over any time in which both wait; FIFO in each."""
    keeps_the_bound(Queue(Fair()), seed)


def test_strict_priority_breaks_the_bound() -> None:
    """The property tells fair from unfair."""
    with pytest.raises(AssertionError):
        keeps_the_bound(Queue(Strict()), seed=0)


# -- overload -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "served"), [(Fair, True), (Strict, False)])
def test_low_under_permanent_high_overload(order: type[Fair | Strict], served: bool) -> None:
    """There is always a HIGH call waiting: fair serves LOW in its share, strict never does."""
    queue = Queue(order())
    for _ in range(100):
        queue.enter("a", LOW)
        queue.enter("b", HIGH)
    counts: Counter[Priority] = Counter()
    for _ in range(340):
        counts[queue.grant().flow[1]] += 1
        queue.enter("b", HIGH)

    assert counts[LOW] == (pytest.approx(20, abs=2) if served else 0)


@pytest.mark.parametrize("others", [1, 10, 50])
def test_new_tenants_without_end_do_not_starve_an_old_one(others: int) -> None:
    """Each call served makes room for a tenant never seen before; the old one's go all the same."""
    queue = Queue(Fair())
    old = [queue.enter("old") for _ in range(3)]
    for tenant in range(others):
        queue.enter(tenant)
    served: dict[Call, int] = {}
    for turn in range(3000):
        served[queue.grant()] = turn
        queue.enter(f"new-{turn}")

    assert [call for call in old if call not in served] == []
    # Their claims fade as e does: (e - 1) times those who wait, for each call before.
    assert served[old[1]] <= 4 * (others + 4)


@pytest.mark.parametrize("others", [10, 300])
def test_a_newcomer_goes_before_the_second_call_of_those_who_wait(others: int) -> None:
    """Virtual time moves no faster than if all were served at once: nobody starts late."""
    queue = Queue(Fair())
    for tenant in range(others):
        queue.enter(tenant)
    for _ in range(1000):
        queue.enter("huge")
    for _ in range(others // 2):
        queue.grant()
    newcomer = queue.enter("newcomer")
    before = []
    while (call := queue.grant()) != newcomer:
        before.append(call.flow[0])

    assert before.count("huge") <= 2
    assert len(before) <= others


def test_tenants_share_by_their_weights() -> None:
    """Four to one, as set; priorities within a tenant as ever."""
    queue = Queue(Fair({"gold": 4.0}))
    for _ in range(200):
        queue.enter("gold")
        queue.enter("plain")
        queue.enter("gold", LOW)
    counts = Counter(queue.grant().flow for _ in range(180))

    assert counts["gold", NORMAL] == pytest.approx(120, abs=2)
    assert counts["plain", NORMAL] == pytest.approx(30, abs=2)
    assert counts["gold", LOW] == pytest.approx(30, abs=2)


def test_a_call_that_turned_out_dearer_is_paid_by_its_flow() -> None:
    """A batch grew while it waited: its tenant's next one comes later."""
    queue = Queue(Fair())
    queue.enter("batch")
    for _ in range(30):
        queue.enter("other")
    assert queue.grant().flow[0] == "batch"
    queue.order.grew("batch", NORMAL, 9.0)
    again = queue.enter("batch")
    turns = 1
    while queue.grant() != again:
        turns += 1

    assert turns == pytest.approx(11, abs=1)


def test_a_huge_backlog_does_not_delay_a_light_tenant() -> None:
    """A newcomer goes before the rest of ten thousand waiting calls."""
    queue = Queue(Fair())
    for _ in range(10_000):
        queue.enter("huge")
    for _ in range(100):
        queue.grant()
    for _ in range(20):
        light = queue.enter("light")
        turns = 1
        while queue.grant() != light:
            turns += 1

        assert turns <= 2


def test_a_light_tenant_is_not_punished_by_dear_calls_of_others() -> None:
    """The wait is one call of the other, however many and dear they are."""
    queue = Queue(Fair())
    for _ in range(1000):
        queue.enter("huge", LOW, cost=500.0)
    queue.grant()
    queue.grant()
    light = queue.enter("light", HIGH)

    assert light in (queue.grant(), queue.grant())


def test_idle_time_is_not_saved_up() -> None:
    """A tenant that comes back after long gets its share from now on, not what it missed."""
    queue = Queue(Fair())
    for _ in range(1000):
        queue.enter("a")
    for _ in range(500):
        queue.grant()
    for _ in range(100):
        queue.enter("b")
    counts = Counter(queue.grant().flow[0] for _ in range(100))

    assert counts["a"] == pytest.approx(50, abs=1)


@pytest.mark.slow
def test_memory_is_bounded_by_what_waits() -> None:
    """A million tenants with one call each, ten of them waiting at any time."""
    fair = Fair()
    waiting: deque[tuple[int, float]] = deque()
    most = 0
    for tenant in range(1_000_000):
        waiting.append((tenant, fair.enter(tenant, NORMAL, 1.0)))
        if len(waiting) > 10:
            first, tag = waiting.popleft()
            fair.granted(first, NORMAL, tag, 1.0)
        most = max(most, len(fair._flows))

    assert most <= 5000


def test_a_busy_tenant_gains_nothing_by_coming_one_call_at_a_time() -> None:
    """A flow that doesn't wait at the moment keeps its claim, also when many other flows come."""
    queue = Queue(Fair())
    for _ in range(400):
        queue.enter("patient", NORMAL)
    counts: Counter[Hashable] = Counter()
    for i in range(300):
        if not queue.waiting()["pushy", NORMAL]:
            queue.enter("pushy", NORMAL)
        if i % 10 == 0:
            queue.enter(i, HIGH, cost=0.01)
        counts[queue.grant().flow[0]] += 1

    assert counts["pushy"] == pytest.approx(counts["patient"], abs=2)


def test_when_nothing_waits_nothing_is_kept() -> None:
    """Tags start again from zero, so that they stay exact."""
    queue = Queue(Fair())
    for i in range(1000):
        queue.enter(i % 7, cost=3.0)
    queue.drain()

    assert queue.enter("a").tag == 0.0


# -- leaving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
def test_cancelled_calls_cost_their_flow_nothing(backwards: bool) -> None:
    """A hundred calls are cancelled in either order: the next one stands where they stood."""
    queue = Queue(Fair())
    for tenant in "ab":
        for _ in range(5):
            queue.enter(tenant)
    gone = [queue.enter("a") for _ in range(100)]
    for call in reversed(gone) if backwards else gone:
        queue.leave(call)
    queue.enter("a")

    assert tenants(queue.drain()) == "ababababab" + "a"


@pytest.mark.parametrize("granted", [0, 3])
@PROPERTY
@given(order=st.permutations(list(range(8))))
def test_a_flow_that_leaves_altogether_is_as_good_as_new(granted: int, order: list[int]) -> None:
    """Whatever the order of cancellations, only what was served is paid for."""
    queue, other = Queue(Fair()), Queue(Fair())
    calls = [queue.enter("a") for _ in range(8)]
    for q in (queue, other):
        for _ in range(20):
            q.enter("b")
    for _ in range(granted):
        other.enter("a")
    for q in (queue, other):
        for _ in range(2 * granted):
            q.grant()
    for which in order:
        if calls[which] in queue.heap:
            queue.leave(calls[which])
    for q in (queue, other):
        q.enter("a")

    assert tenants(queue.drain()) == tenants(other.drain())


@pytest.mark.slow
@PROPERTY
@given(st.data())
def test_a_flow_pays_for_what_waits_and_what_was_served(data: st.DataObject) -> None:
    """A new call starts where the newest call that still waits ends, whatever was cancelled."""
    queue = Queue(Fair())
    queue.enter("other", cost=1e6)
    live: list[Call] = []
    newest_end = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["enter", "enter", "leave"]))
        if action == "leave" and live:
            queue.leave(live.pop(data.draw(st.integers(0, len(live) - 1))))
            continue
        newest_end = live[-1].tag + live[-1].cost / WEIGHTS[NORMAL] if live else 0.0
        call = queue.enter("a", cost=data.draw(st.sampled_from([0.3, 1.0, 7.0])))
        live.append(call)

        assert call.tag == newest_end


def test_a_steady_stream_of_cancellations_needs_no_memory() -> None:
    """Nobody is served for long, and every call gives up when the next one has come."""
    fair = Fair()
    fair.enter("a", NORMAL, 1.0)
    last = fair.enter("a", NORMAL, 1.0)
    for _ in range(10_000):
        following = fair.enter("a", NORMAL, 1.0)
        fair.left("a", NORMAL, last, 1.0)
        last = following
    flow = fair._flows["a", NORMAL]

    assert (
        sum(len(getattr(flow, name)) for name in flow.__slots__ if hasattr(getattr(flow, name), "__len__"))
        < 300
    )


def test_leaving_is_cheap_in_a_long_queue() -> None:
    """Thirty thousand cancellations, forwards and backwards, take no time to speak of."""
    fair = Fair()
    fair.enter("a", NORMAL, 1.0)
    for step in (1, -1):
        tags = [fair.enter("a", NORMAL, 1.0) for _ in range(30_000)]
        for tag in tags[::step]:
            fair.left("a", NORMAL, tag, 1.0)

    assert fair.enter("a", NORMAL, 1.0) == 1.0 / WEIGHTS[NORMAL]


def test_a_call_that_keeps_an_older_place_disturbs_nobody() -> None:
    """Another attempt stands where the first stood: its tag is older than the one it was given."""
    fair = Fair()
    fair.enter("other", NORMAL, 1.0)
    first = fair.enter("a", NORMAL, 1.0)
    fair.granted("a", NORMAL, first, 1.0)
    for end in (fair.granted, fair.left):
        fair.enter("a", NORMAL, 1.0)
        fair.enter("a", NORMAL, 1.0)
        end("a", NORMAL, first, 1.0)
        fair.left("a", NORMAL, fair.enter("a", NORMAL, 1.0), 1.0)
        fair.granted("a", NORMAL, first, 1.0)

    assert fair.enter("a", NORMAL, 1.0) == 1.0 / WEIGHTS[NORMAL]


class KeepsTheCostOfCancelled(Fair):
    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        finish = self._flows[tenant, priority].finish
        super().left(tenant, priority, tag, cost)
        if (tenant, priority) in self._flows:
            self._flows[tenant, priority].finish = finish


def test_an_order_that_charges_for_cancelled_calls_would_be_seen() -> None:
    """The property above is not empty."""
    queue = Queue(KeepsTheCostOfCancelled())
    for tenant in "aab":
        queue.enter(tenant)
    queue.leave(queue.enter("a"))
    queue.enter("a")

    assert queue.drain()[-1].tag > 2 / WEIGHTS[NORMAL]


# -- strict -------------------------------------------------------------------------------------------------


def test_strict_serves_by_priority_then_by_arrival() -> None:
    """Tenants don't count, cancelled calls leave no trace."""
    queue = Queue(Strict())
    calls = {
        name: queue.enter(name, priority)
        for name, priority in {"a": LOW, "b": HIGH, "c": NORMAL, "d": HIGH, "e": LOW}.items()
    }
    queue.leave(calls["d"])

    assert tenants(queue.drain()) == "bcae"
