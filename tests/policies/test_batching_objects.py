"""Bulk deletes travel together; every other action on objects goes alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncapi.policies.batching import STRATEGIES, ObjectBatching
from asyncapi.types.objects import ObjectRequest, ObjectResponse, StoredObject
from asyncapi.types.requests import Extra, Request

from .batches import PROPERTY, check_merged

batching = ObjectBatching()
keys = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=6)


def bulk(of: list[str]) -> ObjectRequest:
    """A bulk delete."""
    return ObjectRequest(model="b", action="delete_many", keys=tuple(of))


def answer(to: Request) -> ObjectResponse:
    """Keys with a c in them can't be deleted."""
    assert isinstance(to, ObjectRequest)
    failed = {key: "AccessDenied" for key in to.keys if "c" in key}
    deleted = tuple(key for key in to.keys if key not in failed)
    return ObjectResponse(deleted=deleted, failures=failed, answered=len(to.keys), raw=1)


@PROPERTY
@given(st.lists(keys, min_size=1, max_size=5))
def test_merge_and_split_give_every_call_its_own(calls: list[list[str]]) -> None:
    """Deleted or not, each key's fate reaches who asked."""
    requests = [bulk(call) for call in calls]
    merged = batching.merge(requests)

    check_merged(batching, merged, requests)
    assert batching.key(merged) == batching.key(requests[0]) is not None
    assert batching.split(answer(merged), requests) == list(map(answer, requests))


@PROPERTY
@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=9, unique=True), st.integers(1, 4))
def test_pieces_and_join_give_the_answer_of_the_whole(call: list[str], items: int) -> None:
    """A thousand keys a request, say."""
    pieces = batching.pieces(bulk(call), items, None)
    answers = list(map(answer, pieces))
    joined = batching.join(bulk(call), answers)

    assert all(batching.items(piece) <= items for piece in pieces)
    assert all(batching.answers(p, a) == batching.items(p) for a, p in zip(answers, pieces, strict=True))
    assert replace(joined, raw=1) == answer(bulk(call))


@pytest.mark.parametrize(
    "request_",
    [
        ObjectRequest(model="b", action="put", key="k", body=b""),
        ObjectRequest(model="b", action="delete", key="k"),
        ObjectRequest(model="b", action="get", key="k", stream=True),
        replace(bulk(["k"]), extra=Extra()),
        replace(bulk(["k"]), arguments={"a": {1}}),
    ],
)
def test_everything_else_goes_alone(request_: ObjectRequest) -> None:
    """Untouched, and counted as one, whatever its answer holds."""
    listing = ObjectResponse(objects=(StoredObject(key="a"), StoredObject(key="b")))

    assert batching.key(request_) is None
    assert batching.merge([request_]) is request_
    assert batching.pieces(request_, 1, 1) == [request_]
    assert batching.split(listing, [request_])[0] is listing
    assert batching.items(request_) == batching.answers(request_, listing) == 1
    assert isinstance(STRATEGIES["object"], ObjectBatching)
