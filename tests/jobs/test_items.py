"""Rows to requests: OpenAI Batch lines and templates."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from asyncapi.errors import ConfigError
from asyncapi.jobs.items import Item, item_builder
from asyncapi.jobs.reader import JsonlSource, LineError, Row
from asyncapi.jobs.settings import RunSettings
from asyncapi.types.messages import Message
from asyncapi.types.requests import ChatRequest, EmbedRequest, Extra

from .fakes import batch_line

SOURCE = JsonlSource(Path())


def build(row: dict[str, Any], **settings: Any) -> Item:
    """The item of the first row of a file."""
    made = RunSettings(input="in", output=Path("out"), **settings)
    return item_builder(made).build(Row(0, 1, orjson.dumps(row)), SOURCE)


def chat(body: dict[str, Any], **settings: Any) -> ChatRequest:
    """The chat request of a Batch line."""
    settings = {"model": "openai:gpt-6"} | settings
    request = build(batch_line("a", "hi", **body), **settings).request
    assert isinstance(request, ChatRequest)
    return request


def test_a_batch_line_becomes_a_chat_request() -> None:
    """Every parameter under the name of the normal form."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    request = chat(
        {
            "max_completion_tokens": 64,
            "temperature": 0,
            "stop": "END",
            "user": "u1",
            "tools": [tool],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "schema": {}, "strict": True},
            },
            "stream": True,
            "seed": None,
        }
    )

    assert request.model == "openai:gpt-6"
    assert request.messages == (Message("user", "hi"),)
    assert (request.max_tokens, request.temperature, request.stop) == (64, 0, ("END",))
    assert (request.user_id, request.tools[0].name, request.tool_choice) == ("u1", "f", "f")
    assert request.response_format == {"name": "s", "schema": {}, "strict": True}
    assert not request.stream
    assert request.extra is None


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "text"}, "text"),
        ("json", "json"),
        ({"schema": {"type": "object"}}, {"schema": {"type": "object"}}),
    ],
)
def test_response_formats(given: object, normal: object) -> None:
    """OpenAI's three and our own two forms."""
    assert chat({"response_format": given}).response_format == normal


def test_what_the_normal_form_does_not_know_goes_through_as_it_is() -> None:
    """New parameters of a service work before this package knows them."""
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    request = chat({"verbosity": "low", "tool_choice": allowed, "tool_stop": ["x"]})

    assert request.extra == Extra(body={"verbosity": "low", "tool_choice": allowed, "tool_stop": ["x"]})
    assert request.tool_choice is None


@pytest.mark.parametrize(
    ("model", "in_line", "expected"),
    [
        ("claude:claude-sonnet-5", "gpt-6", "claude:claude-sonnet-5"),
        ("groq:", "llama-4", "groq:llama-4"),
        ("", "openai:gpt-6", "openai:gpt-6"),
        ("hf_tgi:org/name:tag", "x", "hf_tgi:org/name:tag"),
    ],
)
def test_which_model_is_asked(model: str, in_line: str, expected: str) -> None:
    """The run's model wins, a provider completes bare names, whole names stand alone."""
    assert chat({"model": in_line}, model=model).model == expected


def test_an_embedding_line() -> None:
    """One text or several; how vectors travel is not the caller's business."""
    line = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings"}
    body = {"model": "m", "input": "text", "dimensions": 8, "encoding_format": "base64", "task": "query"}

    assert build(line | {"body": body}, model="openai:").request == EmbedRequest(
        model="openai:m", inputs=("text",), dimensions=8, extra=Extra(body={"task": "query"})
    )
    request = build(line | {"body": {"model": "m", "input": ["a", "b"]}}, model="openai:").request
    assert request == EmbedRequest(model="openai:m", inputs=("a", "b"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"body": None}, "no OpenAI Batch line: expected custom_id"),
        ({"method": "GET"}, "method: expected 'POST', got 'GET'"),
        (
            {"url": "/v1/images"},
            "url: expected one of /v1/chat/completions, /v1/embeddings, got '/v1/images'",
        ),
        ({"url": 7}, "url: expected"),
        ({"custom_id": 7}, "custom_id: expected a text, got 7"),
        ({"custom_id": ""}, "custom_id: expected a text"),
        ({"body": {"model": "m"}}, "body.messages: missing"),
        ({"body": {"model": "m", "messages": []}}, "body.messages is empty"),
        ({"body": {"model": "m", "messages": 7}}, "body."),
        ({"body": {"model": "m", "messages": [{"role": "x"}]}}, "body.messages[0].role: expected one of"),
        ({"body": {"messages": []}}, "body.model: missing; give a model"),
        ({"body": {"model": 7, "messages": []}}, "body.model: missing"),
        ({"body": {"model": "m", "messages": "x", "temperature": "hot"}}, "at `temperature`"),
        ({"body": {"model": "m", "messages": "x", "tools": [{"a": 1}]}}, "tools[0]: expected a Tool"),
        ({"body": {"model": "m", "messages": "x", "response_format": {"type": "odd"}}}, "missing 'odd'"),
        ({"url": "/v1/embeddings", "body": {"model": "m", "input": [1, 2]}}, "at `input[0]`"),
        ({"url": "/v1/embeddings", "body": {"model": "m", "input": [""]}}, "none of them empty"),
        ({"url": "/v1/embeddings", "body": {"model": "m", "input": []}}, "body.input: expected"),
    ],
)
def test_a_line_that_cannot_be_sent_says_why(change: dict[str, Any], words: str) -> None:
    """Before it costs a call."""
    with pytest.raises(LineError) as caught:
        build(batch_line("a", "hi") | change, model="openai:")

    assert words in str(caught.value)


def test_a_bare_model_name_is_refused_with_advice() -> None:
    """It could belong to anyone."""
    with pytest.raises(
        LineError, match=r"give one for all lines, such as openai: \(then it is openai:gpt-6\)"
    ):
        build(batch_line("a", "hi"))


def test_ids_come_from_the_line_its_number_or_a_template() -> None:
    """In that order of preference: template, custom_id, number."""
    line = batch_line("mine", "hi")
    without = {k: v for k, v in line.items() if k != "custom_id"}

    assert build(line, model="openai:").custom_id == "mine"
    assert build(without, model="openai:").custom_id == "request-1"
    assert build(line, model="openai:", id="{body.model}-x").custom_id == "gpt-6-x"
    with pytest.raises(LineError, match="no field 'none'"):
        build(line, model="openai:", id="{none}")


def test_options_of_the_run_win_over_the_line() -> None:
    """A whole file can be run colder or shorter without rewriting it."""
    request = chat(
        {"max_completion_tokens": 9, "temperature": 1},
        max_tokens=5,
        temperature=0.0,
        parameters={"seed": 3, "new": 1},
    )

    assert (request.max_tokens, request.temperature, request.seed) == (5, 0.0, 3)
    assert request.extra == Extra(body={"new": 1})


def test_a_template_item() -> None:
    """Prompt, system and id from the fields, parameters from the run."""
    item = build(
        {"n": 7, "q": "Why?"},
        model="claude:sonnet",
        prompt="{q}",
        system="Be number {n}.",
        id="row-{n}",
        max_tokens=10,
        parameters={"top_p": 0.5, "thinking": {"type": "off"}},
    )

    assert item.custom_id == "row-7"
    assert item.request == ChatRequest(
        model="claude:sonnet",
        messages=(Message("system", "Be number 7."), Message("user", "Why?")),
        max_tokens=10,
        top_p=0.5,
        extra=Extra(body={"thinking": {"type": "off"}}),
    )


def test_a_template_item_is_numbered_by_its_line() -> None:
    """Unless an id template is given."""
    assert build({"q": "Why?"}, model="a:b", prompt="{q}").custom_id == "request-1"
    with pytest.raises(LineError, match="no field 'x'; the fields are: q"):
        build({"q": "Why?"}, model="a:b", prompt="{x}")


def test_wrong_parameters_are_refused_before_the_run() -> None:
    """They would fail on every line."""
    with pytest.raises(ConfigError, match="at `seed`"):
        build({"q": 1}, model="a:b", prompt="{q}", parameters={"seed": "x"})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"concurrency": 0}, "concurrency: expected"),
        ({"passes": 0}, "passes: expected"),
        ({"grace": -1}, "grace: expected"),
        ({"system": "x"}, "system: needs prompt"),
        ({"prompt": "x"}, "model: needed with prompt"),
        ({"prompt": "x", "model": "openai:"}, "model: needed with prompt"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], words: str) -> None:
    """Where they are made."""
    with pytest.raises(ConfigError, match=words):
        RunSettings(input="in", output=Path("out"), **settings)
