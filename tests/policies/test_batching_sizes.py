"""What a service takes is learned from what it refused, and tried again with growing patience."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.errors import AsyncAPIError, ConfigError, ContextLengthError, InvalidRequestError
from asyncapi.policies.batching import Ceiling, Sizes, too_large
from asyncapi.policies.batching.sizes import MOST_LINES, PATIENCE
from asyncapi.types.wire import BatchLimit

ROW = BatchLimit(items=100, chars=1000)


@pytest.mark.parametrize(
    ("error", "measure"),
    [
        (ContextLengthError("Payload Too Large", status=413), "bytes"),
        (InvalidRequestError("batch size 33 > maximum allowed batch size 32", status=422), "items"),
        (InvalidRequestError("'$.input' is invalid: array too long", status=400), "items"),
        (InvalidRequestError("no", status=400, code="array_above_max_length"), "items"),
        (InvalidRequestError("Requested 310000 tokens, max 300000 tokens per request", status=400), "items"),
        (InvalidRequestError("at most 100 requests can be in one batch", status=400), "items"),
        (InvalidRequestError("Number of documents exceeds the limit", status=400), "items"),
        (ContextLengthError("`inputs` must have less than 512 tokens", status=422), ""),
        (InvalidRequestError("`inputs` cannot be empty", status=422), ""),
        (ConfigError("batch size"), ""),
    ],
)
def test_what_services_say_of_a_batch_that_is_too_large(error: AsyncAPIError, measure: str) -> None:
    """By the status or in words; a text that is too long by itself is another matter."""
    assert too_large(error) == measure


def test_a_refusal_halves_but_not_below_what_was_taken() -> None:
    """64 refused, 32 taken, 33 to 36 refused: 32 again."""
    ceiling = Ceiling(64)
    assert ceiling.value == 32
    ceiling.accepted(32)
    for _ in range(PATIENCE - 1):
        ceiling.accepted(32)
    assert ceiling.value == 36
    ceiling.refused(36)

    assert ceiling.value == 32


def test_what_was_taken_once_and_is_refused_now_counts_no_more() -> None:
    """It depended on more than the number: on the texts' lengths, say."""
    ceiling = Ceiling(64)
    ceiling.accepted(32)
    ceiling.refused(32)

    assert ceiling.value == 16


def test_what_was_sent_before_the_ceiling_fell_teaches_nothing() -> None:
    """Five batches in flight are refused: that is one piece of news."""
    ceiling = Ceiling(64)
    for _ in range(4):
        ceiling.refused(64)

    assert ceiling.value == 32


def test_small_batches_prove_nothing_of_large_ones() -> None:
    """Only those near the ceiling raise it."""
    ceiling = Ceiling(64)
    for _ in range(10 * PATIENCE):
        ceiling.accepted(20)

    assert ceiling.value == 32


@settings(deadline=None, derandomize=True, max_examples=50)
@given(real=st.integers(1, 500), first=st.integers(2, 1000))
def test_a_real_ceiling_costs_ever_less(real: int, first: int) -> None:
    """Of 20,000 full batches against a fixed bound at most 80 are refused, and none is small."""
    ceiling = Ceiling(max(first, real + 1))
    refused = 0
    for _ in range(20_000):
        if ceiling.value > real:
            ceiling.refused(ceiling.value)
            refused += 1
        else:
            ceiling.accepted(ceiling.value)

    assert refused <= 80
    assert real / 2 <= ceiling.value <= max(real + 1, real * 9 / 8)


def test_a_passing_ceiling_is_forgotten() -> None:
    """When the service takes more again, so does the batch, up to what its row says."""
    sizes = Sizes({"embed": ROW})
    sizes.refused("embed", "m", "items", 16)
    for _ in range(40 * PATIENCE):
        sizes.accepted("embed", "m", sizes.limit("embed", "m").items, 1)

    assert sizes.limit("embed", "m") == ROW


def test_items_and_bytes_are_learned_apart_and_only_where_they_were_refused() -> None:
    """By operation and model; the number of characters is the row's."""
    sizes = Sizes({"embed": ROW, "classify": ROW})
    sizes.refused("embed", "m", "items", 40)
    sizes.refused("embed", "m", "bytes", 3000)

    assert sizes.limit("embed", "m") == BatchLimit(items=20, chars=1000, bytes=1500)
    assert sizes.limit("embed", "n") == ROW
    assert sizes.limit("classify", "m") == ROW


def test_what_the_server_told_holds_for_every_operation_and_below_it_what_it_refused() -> None:
    """The smaller of the two."""
    sizes = Sizes({"embed": ROW, "classify": ROW})
    sizes.refused("embed", "m", "items", 40)
    sizes.told(32)

    assert (sizes.limit("embed", "m").items, sizes.limit("classify", "m").items) == (20, 32)
    sizes.told(8)
    assert sizes.limit("embed", "m").items == 8


def test_a_single_item_teaches_nothing_and_models_are_bounded() -> None:
    """Callers may name any number of models."""
    sizes = Sizes({"embed": ROW})
    sizes.refused("embed", "m", "items", 1)
    assert sizes.limit("embed", "m") == ROW
    for i in range(MOST_LINES + 1):
        sizes.refused("embed", str(i), "items", 40)

    assert sizes.limit("embed", "0") == ROW
    assert sizes.limit("embed", str(MOST_LINES)).items == 20
