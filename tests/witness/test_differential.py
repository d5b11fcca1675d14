"""Our bodies against those of the official SDKs, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncapi.abc import Backend
from asyncapi.backends import get_backend
from asyncapi.emulator import DIALECTS
from asyncapi.types.wire import WireRequest

from . import (
    pairs_claude,
    pairs_gemini,
    pairs_groq,
    pairs_hugging_face,
    pairs_kserve,
    pairs_ollama,
    pairs_openai,
    pairs_vllm,
)
from .differences import DIFFERENCES
from .pairs import Pair
from .recording import Sent, form, recording

PAIRS: tuple[Pair, ...] = (
    *pairs_openai.PAIRS,
    *pairs_vllm.PAIRS,
    *pairs_groq.PAIRS,
    *pairs_claude.PAIRS,
    *pairs_gemini.PAIRS,
    *pairs_ollama.PAIRS,
    *pairs_hugging_face.PAIRS,
    *pairs_kserve.PAIRS,
)

pytestmark = pytest.mark.filterwarnings("default")  # the SDKs' own sins


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(
            pair,
            id=f"{pair.service}-{pair.name}",
            marks=pytest.mark.witness(service=pair.service, operation=pair.operation, by="differential"),
        )
        for pair in PAIRS
    ],
)
async def test_we_send_what_the_sdk_sends(pair: Pair) -> None:
    """Method, path and every field of the body, but for what the table of differences names."""
    backend = cast(Backend, pair.backend or get_backend(pair.service))
    ours = backend.encode(pair.ours)
    async with recording() as (url, sent):
        with suppress(Exception):  # the answer is none that an SDK can read
            await pair.theirs(url)
    theirs = sent[-1]

    found = set(differences(read(ours, pair.service), as_tree(theirs)))
    expected = {place for name in pair.differences for place in DIFFERENCES[name].places}
    assert found == expected


def read(made: WireRequest, service: str) -> dict[str, Any]:
    """What we send, as a tree."""
    base = urlsplit(str(getattr(get_backend(service), "service").base_url)).path.rstrip("/")  # noqa: B009
    target = urlsplit(base + made.path)
    headers = {name.lower(): value for name, value in (made.headers or {}).items()}
    return as_tree(Sent(made.method, target.path, target.query, headers, made.body or b""))


def as_tree(sent: Sent) -> dict[str, Any]:
    """A request as one tree of values."""
    return {
        "method": sent.method,
        "path": sent.path.rstrip("/"),
        "query": dict(parse_qsl(sent.query)),
        "body": sent.content,
    }


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Where two trees differ; places in lists have no number."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            inner = f"{place}.{name}" if place else name
            if name not in theirs:
                yield f"only ours: {inner} = {json.dumps(ours[name])}"
            elif name not in ours:
                yield f"only theirs: {inner} = {json.dumps(theirs[name])}"
            else:
                yield from differences(ours[name], theirs[name], inner)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for mine, yours in zip(ours, theirs, strict=True):
            yield from differences(mine, yours, f"{place}[]")
    elif ours != theirs or isinstance(ours, bool) is not isinstance(theirs, bool):
        yield f"{place}: ours {json.dumps(ours)}, theirs {json.dumps(theirs)}"


def test_every_difference_is_met() -> None:
    """The table holds nothing that is no difference any more."""
    assert {name for pair in PAIRS for name in pair.differences} == set(DIFFERENCES)


def test_forms_are_read() -> None:
    """The recorder's own reading of a form."""
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'

    assert form("multipart/form-data; boundary=b", body) == {"a": "1"}
    assert DIALECTS
