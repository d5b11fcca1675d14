"""How long the pretend models take: a time to the first token and a pace after it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Service times, modelled on tokens.

    Args:
        first_token: Wait before the first output token.
        per_token: Wait between output tokens; a plain answer takes the sum at once.
        per_input_token: Added to the first wait for every input token (prefill).
        jitter: Up to this much is added to the first wait, drawn from the emulator's seed.
        concurrency: How many requests of one service are worked on at a time; the rest wait in turn.

    Units: seconds; ``concurrency`` counts requests.
    """

    first_token: float = 0.02
    per_token: float = 0.001
    per_input_token: float = 0.0
    jitter: float = 0.0
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if min(self.first_token, self.per_token, self.per_input_token, self.jitter) < 0:
            raise ValueError("Timing: times must be 0 or more seconds")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"Timing.concurrency: expected 1 or more, got {self.concurrency}")

    @classmethod
    def instant(cls, concurrency: int | None = None) -> "Timing":
        """No service time at all: for tests and for benchmarks of a client."""
        return cls(0.0, 0.0, 0.0, 0.0, concurrency)

    def start(self, input_tokens: int, chance: float) -> float:
        """Seconds until the first token; ``chance`` in [0, 1) places it inside the jitter."""
        return self.first_token + self.per_input_token * input_tokens + self.jitter * chance
