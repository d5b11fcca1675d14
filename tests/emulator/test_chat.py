"""Chat in every dialect, whole and streamed, read by hand."""

import base64
import json
from typing import Any

import pytest

from asyncapi.emulator import Emulator, answer_text, count_tokens, question_digest

from .wire import CHAT, Got, Wire, text_in

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
OPENAI_LIKE = ["openai", "groq", "vllm", "opea"]


def openai_text(got: Got) -> str:
    """The content of a stream of chunks."""
    chunks = [event for event in got.events if event != "[DONE]"]
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])


@pytest.mark.parametrize("service", list(CHAT))
async def test_an_answer_is_a_function_of_seed_model_and_question(wire: Wire, service: str) -> None:
    """Each service says the same words, with the digest of the question in front."""
    got = await wire.chat(service, "How are you?")

    assert got.status == 200
    assert text_in(service, got.json) == answer_text(0, "m", "How are you?")
    assert f"[{question_digest('How are you?')}]" in text_in(service, got.json)


@pytest.mark.parametrize("service", OPENAI_LIKE)
async def test_openai_stream_ends_with_finish_and_done(wire: Wire, service: str) -> None:
    """Role first, one token a chunk, the finish in an empty delta, then [DONE]."""
    got = await wire.chat(service, "Hi", stream=True)

    assert got.headers["content-type"].startswith("text/event-stream")
    *chunks, done = got.events
    assert done == "[DONE]"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert openai_text(got) == answer_text(0, "m", "Hi")
    assert len(chunks) == 2 + count_tokens(answer_text(0, "m", "Hi"))


@pytest.mark.parametrize("service", OPENAI_LIKE)
async def test_usage_chunk_has_no_choices(wire: Wire, service: str) -> None:
    """With include_usage one more chunk comes, and the others say usage null."""
    got = await wire.chat(service, "Hi", stream=True, stream_options={"include_usage": True})

    assert got.events[-2]["choices"] == []
    assert got.events[-2]["usage"]["completion_tokens"] == count_tokens(answer_text(0, "m", "Hi"))
    assert got.events[0]["usage"] is None


async def test_obfuscation_is_padding_that_can_be_switched_off(wire: Wire) -> None:
    """OpenAI pads its chunks unless told not to."""
    padded = await wire.chat("openai", stream=True)
    bare = await wire.chat("openai", stream=True, stream_options={"include_obfuscation": False})

    assert "obfuscation" in padded.events[1]
    assert "obfuscation" not in bare.events[1]


async def test_groq_tells_usage_in_x_groq(wire: Wire) -> None:
    """The id comes first, usage comes last, asked for or not."""
    got = await wire.chat("groq", "Hi", stream=True)
    plain = await wire.chat("groq", "Hi")

    assert got.events[0]["x_groq"]["id"].startswith("req_")
    assert got.events[-2]["x_groq"]["usage"]["completion_tokens"] > 0
    assert plain.json["x_groq"]["id"] == got.events[0]["x_groq"]["id"]
    assert plain.json["usage"]["total_time"] > 0


@pytest.mark.parametrize("service", list(CHAT))
async def test_a_cap_on_tokens_ends_in_length(wire: Wire, service: str) -> None:
    """The answer has exactly as many tokens as allowed, and says why it ended."""
    cap: dict[str, Any] = {"max_tokens": 3}
    if service == "ollama":
        cap = {"options": {"num_predict": 3}}

    got = await wire.chat(service, "Hi", **cap)

    assert count_tokens(text_in(service, got.json)) == 3
    if service == "claude":
        assert got.json["stop_reason"] == "max_tokens"
    elif service == "ollama":
        assert (got.json["done_reason"], got.json["eval_count"]) == ("length", 3)
    else:
        assert got.json["choices"][0]["finish_reason"] == "length"
        assert got.json["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("service", list(CHAT))
async def test_a_stop_sequence_ends_the_answer_before_it(wire: Wire, service: str) -> None:
    """The text ends before the stop sequence; Claude and vLLM say which one."""
    whole = answer_text(0, "m", "Hi")
    stop = whole[16:20]
    fields: dict[str, Any] = {"stop": stop}
    if service == "claude":
        fields = {"stop_sequences": [stop]}
    elif service == "ollama":
        fields = {"options": {"stop": [stop]}}

    got = await wire.chat(service, "Hi", **fields)

    assert text_in(service, got.json) == whole[: whole.index(stop)]
    if service == "claude":
        assert (got.json["stop_reason"], got.json["stop_sequence"]) == ("stop_sequence", stop)
    if service == "vllm":
        assert got.json["choices"][0]["stop_reason"] == stop


@pytest.mark.parametrize("streamed", [False, True])
async def test_openai_answers_n_choices(wire: Wire, streamed: bool) -> None:
    """Each choice has its own words and its own finish; a stream lets them take turns."""
    got = await wire.chat("openai", "Hi", n=2, stream=streamed)

    if streamed:
        choices = [choice for event in got.events[:-1] for choice in event["choices"]]
        assert [choice["index"] for choice in choices[:4]] == [0, 1, 0, 1]
        assert sum(choice["finish_reason"] == "stop" for choice in choices) == 2
    else:
        first, second = (choice["message"]["content"] for choice in got.json["choices"])
        assert first != second
        assert got.json["usage"]["completion_tokens"] == count_tokens(first) + count_tokens(second)


async def test_groq_refuses_a_second_choice(wire: Wire) -> None:
    """n above 1 is a 400 there."""
    assert (await wire.chat("groq", n=2)).status == 400


@pytest.mark.parametrize("service", OPENAI_LIKE)
async def test_a_tool_is_called_when_the_text_speaks_of_tools(wire: Wire, service: str) -> None:
    """The arguments are text that satisfies the schema; "tools" calls two at once."""
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
    got = await wire.chat(service, "Use both tools", tools=[FUNCTION, other])

    message = got.json["choices"][0]["message"]
    assert got.json["choices"][0]["finish_reason"] == "tool_calls"
    assert message["content"] is None
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["get_weather", "other"]
    arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
    assert isinstance(arguments["city"], str)
    assert arguments["days"] == 1


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", False),
        ("auto", True),
        ("required", True),
        ({"type": "function", "function": {"name": "get_weather"}}, True),
        ({"type": "function", "function": {"name": "unknown"}}, False),
    ],
)
async def test_tool_choice_is_obeyed(wire: Wire, choice: Any, called: bool) -> None:
    """None forbids, required and a name force."""
    text = "Use the tool" if choice in ("auto", "none") else "Hi"
    got = await wire.chat("openai", text, tools=[FUNCTION], tool_choice=choice)

    assert (got.json["choices"][0]["finish_reason"] == "tool_calls") is called


@pytest.mark.parametrize(("service", "deltas"), [("openai", 9), ("groq", 1), ("vllm", 9)])
async def test_tool_calls_stream_piecewise_or_whole(wire: Wire, service: str, deltas: int) -> None:
    """OpenAI sends arguments in pieces keyed by index, Groq each call at once."""
    got = await wire.chat(service, "the tool", tools=[FUNCTION], stream=True)

    calls = [
        call
        for event in got.events[:-1]
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert json.loads(arguments)["city"] == question_digest("the tool")
    assert calls[0]["id"].startswith("call_")
    assert len(calls) == deltas


async def test_openai_wants_an_answer_for_every_tool_call(wire: Wire) -> None:
    """Calls without answers, and answers without calls, are refused; a full turn gets text."""
    user = {"role": "user", "content": "Use the tool"}
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "cold"}
    path = CHAT["openai"]

    async def status(*messages: object) -> int:
        body = {"model": "m", "messages": messages, "tools": [FUNCTION]}
        return (await wire.post(path, body)).status

    assert await status(user, asked) == 400
    assert await status(user, asked, user) == 400
    assert await status(user, answered) == 400
    assert await status(user, asked, answered) == 200


@pytest.mark.parametrize("service", OPENAI_LIKE)
async def test_json_schema_is_satisfied(wire: Wire, service: str) -> None:
    """Structured output is an instance of the schema; json_object is any object."""
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    got = await wire.chat(service, "Hi", response_format=wanted)
    free = await wire.chat(service, "Hi", response_format={"type": "json_object"})

    assert json.loads(text_in(service, got.json)) == {"city": question_digest("Hi"), "days": 1}
    assert isinstance(json.loads(text_in(service, free.json)), dict)


async def test_images_are_accepted_and_counted(wire: Wire) -> None:
    """A part that is no text costs as an image does; the question is the text beside it."""
    url = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "What is it?"}, url]
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    got = await wire.post(CHAT["openai"], body)

    assert text_in("openai", got.json) == answer_text(0, "m", "What is it?")
    assert got.json["usage"]["prompt_tokens"] == 4 + 3 + 85


async def test_openai_counts_reasoning_without_showing_it(wire: Wire) -> None:
    """Effort costs tokens inside the completion, and the cap covers them."""
    got = await wire.chat("openai", "Hi", reasoning_effort="low")
    capped = await wire.chat("openai", "Hi", reasoning_effort="high", max_completion_tokens=10)
    none = await wire.chat("openai", "Hi", reasoning_effort="none")

    usage = got.json["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 16
    assert usage["completion_tokens"] == 16 + count_tokens(answer_text(0, "m", "Hi"))
    assert "reasoning" not in got.json["choices"][0]["message"]
    assert text_in("openai", capped.json) == ""
    assert capped.json["choices"][0]["finish_reason"] == "length"
    assert none.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize("service", ["groq", "vllm"])
async def test_look_alikes_show_reasoning(wire: Wire, service: str) -> None:
    """In the message, and as deltas before the text."""
    got = await wire.chat(service, "Hi", reasoning_effort="low")
    stream = await wire.chat(service, "Hi", reasoning_effort="low", stream=True)

    thought = got.json["choices"][0]["message"]["reasoning"]
    deltas = [event["choices"][0]["delta"] for event in stream.events[:-1]]
    assert count_tokens(thought) == 16
    assert "".join(delta.get("reasoning", "") for delta in deltas) == thought


async def test_groq_places_reasoning_as_asked(wire: Wire) -> None:
    """Hidden, raw inside the text, or parsed; not both ways of asking."""
    hidden = await wire.chat("groq", reasoning_effort="low", reasoning_format="hidden")
    raw = await wire.chat("groq", reasoning_format="raw")
    both = await wire.chat("groq", reasoning_format="raw", include_reasoning=True)

    assert "reasoning" not in hidden.json["choices"][0]["message"]
    assert hidden.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 16
    assert text_in("groq", raw.json).startswith("<think>")
    assert both.status == 400


async def test_vllm_thinks_by_its_template_and_hides_on_request(wire: Wire) -> None:
    """chat_template_kwargs switch thinking on, include_reasoning false hides it."""
    switched: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": True}}
    shown = await wire.chat("vllm", **switched)
    hidden = await wire.chat("vllm", **switched, include_reasoning=False)

    assert shown.json["choices"][0]["message"]["reasoning"]
    assert "reasoning" not in hidden.json["choices"][0]["message"]


async def test_vllm_answers_a_batch_of_conversations(wire: Wire) -> None:
    """Choice i answers conversation i, usage is the sum; tools, streams and n are refused."""
    path = CHAT["vllm"] + "/batch"
    conversations = [[{"role": "user", "content": text}] for text in ("a", "b")]
    got = await wire.post(path, {"model": "m", "messages": conversations})

    contents = [choice["message"]["content"] for choice in got.json["choices"]]
    assert contents == [answer_text(0, "m", "a"), answer_text(0, "m", "b")]
    assert got.json["usage"]["completion_tokens"] == sum(map(count_tokens, contents))
    refused: list[dict[str, Any]] = [{"stream": True}, {"n": 2}, {"tools": [FUNCTION]}, {"messages": []}]
    for extra in refused:
        assert (await wire.post(path, {"model": "m", "messages": conversations, **extra})).status == 400


async def test_claude_stream_has_its_grammar(wire: Wire) -> None:
    """Start, ping, thinking with its signature, text, cumulative usage, stop."""
    got = await wire.chat("claude", "Hi", stream=True, thinking={"type": "adaptive"})

    events = got.events
    assert got.names == [event["type"] for event in events]
    assert got.names[:3] == ["message_start", "content_block_start", "ping"]
    assert got.names[-2:] == ["message_delta", "message_stop"]
    assert events[0]["message"]["stop_reason"] is None
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    kinds = [delta["type"] for delta in deltas]
    assert kinds.index("signature_delta") == kinds.count("thinking_delta")
    assert "".join(delta.get("text", "") for delta in deltas) == answer_text(0, "m", "Hi")
    assert events[-2]["usage"]["output_tokens"] == 32 + count_tokens(answer_text(0, "m", "Hi"))


async def test_claude_streams_tool_input_as_json_pieces(wire: Wire) -> None:
    """The block opens with an empty object, and the first piece is empty."""
    tool = {"name": "get_weather", "input_schema": SCHEMA}
    got = await wire.chat("claude", "the tool", stream=True, tools=[tool])

    starts = [event for event in got.events if event["type"] == "content_block_start"]
    pieces = [event["delta"] for event in got.events if event["type"] == "content_block_delta"]
    assert starts[0]["content_block"]["input"] == {}
    assert pieces[0] == {"type": "input_json_delta", "partial_json": ""}
    assert json.loads("".join(piece["partial_json"] for piece in pieces))["days"] == 1
    assert got.events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        ({"type": "auto"}, 2),
        ({"type": "any", "disable_parallel_tool_use": True}, 1),
        ({"type": "tool", "name": "b"}, 1),
        ({"type": "none"}, 0),
    ],
)
async def test_claude_tool_choice_is_obeyed(wire: Wire, choice: dict[str, Any], calls: int) -> None:
    """Auto needs the word, any and tool force, none forbids; parallel use can be disabled."""
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in "ab"]
    got = await wire.chat("claude", "Use the tools", tools=tools, tool_choice=choice)

    uses = [block for block in got.json["content"] if block["type"] == "tool_use"]
    assert len(uses) == calls


async def test_claude_hides_thinking_but_signs_it(wire: Wire) -> None:
    """Display omitted leaves an empty thinking text with a signature."""
    thinking = {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}
    got = await wire.chat("claude", thinking=thinking)
    stream = await wire.chat("claude", thinking=thinking, stream=True)

    block = got.json["content"][0]
    assert (block["type"], block["thinking"]) == ("thinking", "")
    assert block["signature"]
    assert b"thinking_delta" not in stream.body


async def test_claude_counts_as_it_bills(wire: Wire) -> None:
    """count_tokens and usage agree, the system text included, and need no max_tokens."""
    body = {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}
    count = await wire.post("/claude/v1/messages/count_tokens", body)
    reply = await wire.post("/claude/v1/messages", {**body, "max_tokens": 50})

    assert count.json == {"input_tokens": reply.json["usage"]["input_tokens"]}


async def test_claude_writes_structured_output(wire: Wire) -> None:
    """The text block is an instance of the schema."""
    wanted = {"format": {"type": "json_schema", "schema": SCHEMA}}
    got = await wire.chat("claude", "Hi", output_config=wanted)

    assert json.loads(got.json["content"][0]["text"])["city"] == question_digest("Hi")


async def test_ollama_streams_lines_by_default(wire: Wire) -> None:
    """NDJSON unless stream is false; the last line has the counters."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "think": "low"}
    got = await wire.post(CHAT["ollama"], body)

    *lines, last = got.lines
    assert got.headers["content-type"] == "application/x-ndjson"
    assert "".join(line["message"]["content"] for line in lines) == answer_text(0, "m", "Hi")
    assert count_tokens("".join(line["message"].get("thinking", "") for line in lines)) == 16
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert last["eval_count"] == 16 + count_tokens(answer_text(0, "m", "Hi"))
    assert last["total_duration"] > last["eval_duration"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_ollama_calls_tools_with_objects(wire: Wire, streamed: bool) -> None:
    """Arguments are an object, and the call comes in a line that is not the last."""
    got = await wire.chat("ollama", "the tool", tools=[FUNCTION], stream=streamed)

    message = (got.lines[0] if streamed else got.json)["message"]
    assert message["tool_calls"][0]["function"]["arguments"]["days"] == 1
    assert got.lines[-1]["done_reason"] == "stop"


async def test_ollama_formats_json_and_knows_turns(wire: Wire) -> None:
    """format takes json or a schema; after a tool's answer comes text."""
    free = await wire.chat("ollama", "Hi", format="json")
    strict = await wire.chat("ollama", "Hi", format=SCHEMA)
    turns = [{"role": "user", "content": "the tool"}, {"role": "tool", "content": "cold"}]
    after = await wire.chat("ollama", messages=turns, tools=[FUNCTION])

    assert isinstance(json.loads(text_in("ollama", free.json)), dict)
    assert json.loads(text_in("ollama", strict.json))["days"] == 1
    assert "tool_calls" not in after.json["message"]


async def test_ollama_generates_from_a_prompt(wire: Wire) -> None:
    """The reply is called response, streamed or not."""
    body = {"model": "m", "prompt": "Hi", "system": "Be brief.", "think": True}
    plain = await wire.post("/ollama/api/generate", {**body, "stream": False})
    lines = (await wire.post("/ollama/api/generate", body)).lines

    assert plain.json["response"] == answer_text(0, "m", "Hi")
    assert plain.json["thinking"]
    assert "".join(line["response"] for line in lines) == plain.json["response"]


async def test_ollama_loads_and_unloads(wire: Wire) -> None:
    """No messages or no prompt load the model; keep_alive 0 unloads it."""
    loaded = await wire.post("/ollama/api/chat", {"model": "m", "messages": []})
    unloaded = await wire.post("/ollama/api/generate", {"model": "m", "keep_alive": 0})

    assert loaded.json["done_reason"] == "load"
    assert unloaded.json["done_reason"] == "unload"


async def test_ollama_takes_images_as_bare_base64(wire: Wire) -> None:
    """A data URL is no base64."""
    image = base64.b64encode(b"png").decode()

    async def status(text: str) -> int:
        message = {"role": "user", "content": "Hi", "images": [text]}
        return (await wire.chat("ollama", messages=[message])).status

    assert await status(image) == 200
    assert await status("data:image/png;base64," + image) == 400


async def test_completions_take_a_list_of_prompts(wire: Wire) -> None:
    """Choice index is prompt * n + j; a stream carries the same texts."""
    body = {"model": "m", "prompt": ["a", "b"], "n": 2, "max_tokens": 5}
    for service in ("openai", "vllm"):
        path = f"/{service}/v1/completions"
        plain = await wire.post(path, body)
        stream = await wire.post(path, {**body, "stream": True})

        texts = {choice["index"]: choice["text"] for choice in plain.json["choices"]}
        streamed = dict.fromkeys(texts, "")
        for event in stream.events[:-1]:
            for choice in event["choices"]:
                streamed[choice["index"]] += choice["text"]
        assert streamed == texts
        assert texts[3] == answer_text(0, "m", "b", 1)[:20]


async def test_opea_takes_a_string_and_caps_at_1024(wire: Wire) -> None:
    """A string of messages is a completion; the model may be absent."""
    text = await wire.post(CHAT["opea"], {"messages": "Hi"})
    chat = await wire.post(CHAT["opea"], {"messages": [{"role": "user", "content": "Hi"}]})

    assert text.json["object"] == "text_completion"
    assert chat.json["object"] == "chat.completion"


async def test_seeds_differ_and_repeat() -> None:
    """The same seed answers twice the same, another seed otherwise."""
    assert answer_text(1, "m", "Hi") == answer_text(1, "m", "Hi")
    assert answer_text(1, "m", "Hi") != answer_text(2, "m", "Hi")


def test_answer_lengths_spread_about_a_median() -> None:
    """Log-normal-like: half of the answers within a factor of one and a half of 24 tokens."""
    lengths = sorted(count_tokens(answer_text(0, "m", str(number))) for number in range(2000))

    assert 22 <= lengths[1000] <= 26
    assert lengths[500] > 14
    assert lengths[1500] < 38
    assert lengths[-1] > 80


async def test_a_service_can_be_left_out() -> None:
    """Only the chosen services are mounted, and unknown ones are named."""
    async with Emulator(services=["openai"]) as emulator:
        assert list(emulator.base_urls) == ["openai"]

    with pytest.raises(ValueError, match="unknown service 'nope'"):
        Emulator(services=["nope"])
