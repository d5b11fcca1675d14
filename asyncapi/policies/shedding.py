"""Under overload: which calls are let go, so that the others are worth their while.

While more comes than is served, every queue fills up, and first come, first served means that each
call is served just before, or just after, its caller has given up: all work, and little of it of use.
Two ways out, both by what is measured: don't let in what can't make its deadline; and while even the
shortest wait is too long, let those go that have waited longest.

Source of the second: K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012, in the
form of "Fail at Scale", ACM Queue 13(8), 2015.
"""

from __future__ import annotations

__all__ = ["CoDel", "Throughput"]

#: A rate is believed once it was measured over so many grants and seconds.
ENOUGH_GRANTS = 10
ENOUGH_S = 1.0
#: The weight of a new measurement against those before it.
NEW = 0.4
#: The shortest target and interval (seconds), and their shares of a typical service time.
TARGET_S, TARGET_SHARE = 0.02, 0.25
INTERVAL_S, INTERVAL_SHARE = 1.0, 4.0
#: Under overload, whoever waited for so many targets is let go.
SLOUGH = 2.0


class Throughput:
    """How much is served a second while calls wait: the limit, the rates and the service in one number.

    State: the ``rate`` (cost a second, 0.0 while unknown); the measurement under way: since when
    (``_since``, None between two), how many grants (``_grants``) of what ``_cost``.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self._since: float | None = None
        self._grants = 0
        self._cost = 0.0

    def granted(self, cost: float, now: float) -> None:
        """A call that waited got its turn."""
        since = self._since
        if since is None:
            self._since, self._grants, self._cost = now, 0, 0.0
            return
        self._grants += 1
        self._cost += cost
        if self._grants >= ENOUGH_GRANTS and now - since >= ENOUGH_S:
            rate = self._cost / (now - since)
            self.rate += (rate - self.rate) * (NEW if self.rate else 1.0)
            self._since, self._grants, self._cost = now, 0, 0.0

    def paused(self) -> None:
        """Nobody waits: what follows is no slow service, but a pause in arrivals."""
        self._since = None

    def wait(self, ahead: float) -> float:
        """Seconds until so much has been served, 0.0 while that can't be known."""
        return ahead / self.rate if self.rate else 0.0


class CoDel:
    """Whether waits are bad for long, and not just a burst.

    State: the ``_least`` wait seen in the interval that ends at ``_until`` (clock seconds); whether the
    one before it was ``overloaded``.
    """

    def __init__(self) -> None:
        self.overloaded = False
        self._least = 0.0
        self._until = float("-inf")

    def overdue(self, waited: float, now: float, typical: float) -> bool:
        """Whether a call that waited so long, and whose turn it is, is to be let go.

        Args:
            waited: How long it waited, seconds.
            now: The clock, seconds.
            typical: What a service takes, seconds.
        """
        target = max(TARGET_S, TARGET_SHARE * typical)
        if now >= self._until:
            interval = max(INTERVAL_S, INTERVAL_SHARE * typical)
            # An interval in which nobody had a turn tells nothing: it counts as good.
            self.overloaded = self._least > target and now < self._until + interval
            self._least, self._until = waited, now + interval
        elif waited < self._least:
            self._least = waited
        return self.overloaded and waited > SLOUGH * target
