"""OPEA's gateways: which chat goes where, and answers that come as streams of bytes literals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.opea import MEGASERVICES, OPEA, backend
from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError, ServerError, StreamInterruptedError
from asyncapi.types.messages import as_messages, as_tools
from asyncapi.types.requests import ChatRequest, Extra
from asyncapi.types.responses import ChatResponse, Response
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .openai_golden import reply

CASES = json.loads((Path(__file__).parent / "golden" / "opea" / "requests.json").read_text())["cases"]
STREAM = (
    b"data: b' Deep'\n\n"
    b'data: b" learning\'s"\n\n'
    b"data: b' \\xe4\\xbd\\xa0\\xe5\\xa5\\xbd'\n\n"
    b"data: [DONE]\n\n"
)
TEXT = " Deep learning's 你好"


def chat(model: str = "chatqna", messages: Any = "Hi", extra: Any = None, **fields: Any) -> ChatRequest:
    """A chat with that model."""
    fields["tools"] = as_tools(fields.get("tools"))
    return ChatRequest(
        model=model, messages=as_messages(messages), extra=Extra(body=extra) if extra else None, **fields
    )


def text_of(response: Response) -> str:
    """The answer's text."""
    assert isinstance(response, ChatResponse)
    return response.text


def body_of(made: Any) -> Any:
    """The JSON that is sent."""
    return json.loads(made.body)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_the_model_says_where_a_chat_goes(case: Any) -> None:
    """And in which form."""
    made = backend.encode(chat(case["model"], case["messages"], case["extra"], **case["fields"]))

    assert made.path == case["path"]
    assert body_of(made) == case["body"]
    assert list(made.warnings) == case["warnings"]


@pytest.mark.parametrize("name", sorted(MEGASERVICES))
def test_every_megaservice_has_the_path_of_its_name(name: str) -> None:
    """Under the base URL's version."""
    languages = {"language_from": "a", "language_to": "b"}

    assert backend.encode(chat(name, extra=languages)).path == f"/{name}"


def test_a_gateway_of_ones_own_takes_every_chat() -> None:
    """Its name stands for no model; any other model is sent."""
    own = OPEA(megaservice="my qna", name="mine")
    other = own.encode(chat("llama"))

    assert own.name == own.service.name == "mine"
    assert own.encode(chat("")).path == other.path == "/my%20qna"
    assert "model" not in body_of(own.encode(chat("my qna")))
    assert body_of(other)["model"] == "llama"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (chat("codetrans"), "codetrans needs language_from and language_to: pass extra=Extra"),
        (chat("translation", extra={"language_from": "a"}), "translation needs language_to"),
        (
            chat("codetrans", [{"role": "system", "content": "x"}], {"language_from": 1, "language_to": 2}),
            "one text to translate",
        ),
        (chat("chatqna", n=2), "one answer a call"),
        (chat("chatqna", tools=[{"name": "f"}], unsupported="error"), "does not take tools"),
    ],
)
def test_what_a_gateway_can_not_do_is_refused(request_: ChatRequest, message: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match=message):
        backend.encode(request_)


def test_a_gateways_zeros_are_no_usage() -> None:
    """It does not count."""
    answer = {
        "id": "c",
        "object": "chat.completion",
        "model": "chatqna",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 0, "total_tokens": 0, "completion_tokens": 0},
    }
    response = backend.decode(chat(), reply(answer))

    assert text_of(response) == "Yes"
    assert response.usage == Usage()


def test_a_stream_of_bytes_literals_is_read_as_text() -> None:
    """Cut anywhere, it is the same; [DONE] after a piece is its proof."""
    for size in (1, 2, 7, len(STREAM)):
        decoder = backend.stream(chat(stream=True), WireResponse(status=200, headers={}, body=b""))
        pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
        chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]

        assert "".join(chunk.text for chunk in chunks) == TEXT
        assert chunks[-1].finish_reason == "stop"
        assert decoder.done
        assert text_of(decoder.finish()) == TEXT


@pytest.mark.parametrize("stream", [b"data: [DONE]\n\n", b"data: b''\n\ndata: [DONE]\n\n", STREAM[:-14]])
def test_a_stream_without_a_piece_or_without_done_is_a_failure(stream: bytes) -> None:
    """The gateway swallows errors and sends [DONE] all the same."""
    decoder = backend.stream(chat(stream=True), WireResponse(status=200, headers={}, body=b""))
    decoder.feed(stream)

    with pytest.raises(StreamInterruptedError):
        decoder.finish()


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/json"}, {"content-type": "text/event-stream"}]
)
def test_a_gateway_that_streams_unasked_is_read_all_the_same(headers: dict[str, str]) -> None:
    """As one answer."""
    whole = WireResponse(status=200, headers={**headers, "x-request-id": "r"}, body=STREAM)
    response = backend.decode(chat("translation"), whole)

    assert text_of(response) == TEXT
    assert response.provider_request_id == "r"
    with pytest.raises(StreamInterruptedError):
        backend.decode(chat(), WireResponse(status=200, headers=headers, body=STREAM[:-14]))


def test_an_error_in_a_200_is_that_error() -> None:
    """As from the microservice."""
    with pytest.raises(ServerError, match="no"):
        backend.decode(chat(), reply({"error": {"message": "no"}}))
    with pytest.raises(DecodeError):
        backend.decode(chat(), reply(b"Internal Server Error"))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200)
def test_a_damaged_stream_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Bytes lost, doubled or changed anywhere."""
    body = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        response = backend.decode(chat(), WireResponse(status=200, headers={}, body=bytes(body)))
    except AsyncAPIError:
        return
    assert text_of(response)
