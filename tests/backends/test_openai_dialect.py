"""A service that speaks the OpenAI dialect is one row, whatever it offers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from asyncapi.backends import OpenAIDialect, Quirks
from asyncapi.backends._native import Action
from asyncapi.backends._openai_operations import CODECS
from asyncapi.backends._openai_quirks import PATHS
from asyncapi.errors import UnsupportedOperationError
from asyncapi.types.messages import Message, as_messages
from asyncapi.types.requests import (
    ChatBatchRequest,
    ChatRequest,
    ClassifyRequest,
    CompleteRequest,
    CountTokensRequest,
    EmbedRequest,
    ImageRequest,
    ModelsRequest,
    ModerateRequest,
    NativeRequest,
    Request,
    RerankRequest,
    RespondRequest,
    ScoreRequest,
    SpeechRequest,
    TokenizeRequest,
    TranscribeRequest,
    TranslateRequest,
)
from asyncapi.types.wire import Service

HI = as_messages("Hi")
REQUESTS: list[Request] = [
    ChatRequest(model="m", messages=HI),
    ChatBatchRequest(model="m", conversations=((Message("user", "a"),),)),
    ClassifyRequest(model="m", inputs=("a",)),
    CompleteRequest(model="m", prompts=("a",)),
    CountTokensRequest(model="m", messages=HI),
    EmbedRequest(model="m", inputs=("a",)),
    ImageRequest(model="m", prompt="p"),
    ModelsRequest(),
    ModerateRequest(model="m", inputs=("a",)),
    NativeRequest(model="m", action="fly"),
    RerankRequest(model="m", query="q", documents=("a",)),
    RespondRequest(model="m", messages=HI),
    ScoreRequest(model="m", query="q", documents=("a",)),
    SpeechRequest(model="m", text="t", voice="v"),
    TokenizeRequest(model="m", inputs=("a",)),
    TranscribeRequest(model="m", audio=b"a"),
    TranslateRequest(model="m", audio=b"a"),
]
MINE = OpenAIDialect(
    Service(name="mine", operations=frozenset(CODECS) | {"fly"}, base_url="http://h/v9", needs_key=False),
    Quirks(prefix="/p", unprefixed=frozenset({"score"}), natives={"fly": Action("GET", "/fly")}),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.operation)
def test_a_row_is_all_that_an_operation_needs(request_: Request) -> None:
    """No class, no other file: each at its path, with the row's prefix."""
    path = {"native": "/fly", "score": "/score"}.get(request_.operation, f"/p{PATHS.get(request_.operation)}")

    assert MINE.encode(request_).path == path


def test_every_operation_is_tried_above() -> None:
    """A new one has to come in here too."""
    assert {request.operation for request in REQUESTS} == set(CODECS) == {*PATHS, "native"}


def test_what_the_dialect_has_not_is_refused_even_if_the_row_offers_it() -> None:
    """Such an operation is for a subclass to translate."""

    class Fly(Request, frozen=True, kw_only=True):
        operation = "fly"

    fly: Any = Fly(model="m")
    with pytest.raises(UnsupportedOperationError):
        MINE.encode(fly)


@pytest.mark.slow
def test_a_chat_imports_no_other_operation() -> None:
    """The first call of a program pays for what it uses."""
    code = (
        "import sys; from asyncapi.backends.openai import backend; "
        "from asyncapi.types.requests import ChatRequest; "
        "backend.encode(ChatRequest(model='m', messages=())); "
        "assert not {'media', 'responses', 'lists', 'complete'} & "
        "{name.rpartition('_openai_')[2] for name in sys.modules if '_openai_' in name}"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_its_repr_names_the_service() -> None:
    """For debugging."""
    assert repr(MINE) == "OpenAIDialect('mine')"
