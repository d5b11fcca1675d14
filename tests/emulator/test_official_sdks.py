"""The services' own SDKs as witnesses: they must understand the emulator as they do the real thing.

They are not needed for development; each part is skipped where its SDK is not installed.
"""

# mypy: ignore-errors
import json

import pytest

from asyncapi.emulator import Emulator, Limits, Timing, answer_text, question_digest

USER = [{"role": "user", "content": "What is the weather?"}]
TOOL_USER = [{"role": "user", "content": "Use the tool for Oslo"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
DIGEST = question_digest("What is the weather?")


def openai_client(emulator: Emulator, service: str = "openai", **options: object):
    """The OpenAI SDK pointed at one of the services that speak its dialect."""
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(api_key="sk-test", base_url=emulator.base_urls[service], **options)


def claude_client(emulator: Emulator, **options: object):
    """The Anthropic SDK pointed at the emulator."""
    anthropic = pytest.importorskip("anthropic")
    return anthropic.AsyncAnthropic(api_key="sk-test", base_url=emulator.base_urls["claude"], **options)


def groq_client(emulator: Emulator, **options: object):
    """The Groq SDK pointed at the emulator."""
    groq = pytest.importorskip("groq")
    return groq.AsyncGroq(api_key="gsk-test", base_url=emulator.base_urls["groq"], **options)


@pytest.mark.parametrize("service", ["openai", "vllm", "opea"])
async def test_openai_sdk_reads_a_chat(emulator: Emulator, service: str) -> None:
    """A plain answer with its usage."""
    async with openai_client(emulator, service) as client:
        reply = await client.chat.completions.create(model="m", messages=USER)

    assert reply.choices[0].message.content == answer_text(0, "m", "What is the weather?")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.parametrize("service", ["openai", "vllm", "opea"])
async def test_openai_sdk_reads_a_stream(emulator: Emulator, service: str) -> None:
    """A streamed answer, its finish and its usage."""
    async with openai_client(emulator, service) as client:
        stream = await client.chat.completions.create(
            model="m", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer_text(0, "m", "What is the weather?")
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


async def test_openai_sdk_accumulates_tool_calls(emulator: Emulator) -> None:
    """The SDK's own accumulator makes whole calls of the pieces."""
    async with (
        openai_client(emulator) as client,
        client.chat.completions.stream(model="m", messages=TOOL_USER, tools=[FUNCTION]) as stream,
    ):
        final = await stream.get_final_completion()

    call = final.choices[0].message.tool_calls[0]
    assert final.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] == question_digest("Use the tool for Oslo")


async def test_openai_sdk_sends_tool_answers_back(emulator: Emulator) -> None:
    """The turn after a tool call is text."""
    async with openai_client(emulator) as client:
        first = await client.chat.completions.create(model="m", messages=TOOL_USER, tools=[FUNCTION])
        message = first.choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "cold"}
        second = await client.chat.completions.create(
            model="m", messages=[*TOOL_USER, message, result], tools=[FUNCTION]
        )

    assert second.choices[0].finish_reason == "stop"


async def test_openai_sdk_decodes_hidden_base64(emulator: Emulator) -> None:
    """The SDK asks for base64 by itself, and gets the same vector as by floats."""
    async with openai_client(emulator) as client:
        hidden = await client.embeddings.create(model="m", input=["a", "b"], dimensions=8)
        floats = await client.embeddings.create(
            model="m", input=["a", "b"], dimensions=8, encoding_format="float"
        )

    assert [len(item.embedding) for item in hidden.data] == [8, 8]
    assert hidden.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-7)


async def test_openai_sdk_lists_models_and_completes(emulator: Emulator) -> None:
    """Models and legacy completions."""
    async with openai_client(emulator) as client:
        models = [model.id async for model in client.models.list()]
        model = await client.models.retrieve("gpt-5")
        completion = await client.completions.create(model="m", prompt=["a", "b"], n=2)

    assert model.id in models
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]


async def test_openai_sdk_raises_its_own_errors(emulator: Emulator) -> None:
    """Statuses, codes and request ids arrive."""
    openai = pytest.importorskip("openai")
    emulator.exhaust("sk-test")
    async with openai_client(emulator, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as money:
            await client.chat.completions.create(model="m", messages=USER)
        emulator.restore("sk-test")
        with pytest.raises(openai.NotFoundError) as absent:
            await client.chat.completions.create(model="missing", messages=USER)

    assert (money.value.type, money.value.code) == ("insufficient_quota", "insufficient_quota")
    assert absent.value.code == "model_not_found"
    assert absent.value.request_id.startswith("req_")


async def test_openai_sdk_obeys_retry_after(emulator: Emulator) -> None:
    """The SDK waits as told and succeeds."""
    emulator.faults = emulator.faults.with_options(retry_after=0.02)
    emulator.script(["429_ms", "429_float"])
    async with openai_client(emulator) as client:
        reply = await client.chat.completions.create(
            model="m", messages=USER, extra_headers={"x-client-request-id": "one"}
        )

    assert DIGEST in reply.choices[0].message.content
    assert emulator.attempts("one") == 3
    assert emulator.early_retries() == []


async def test_openai_sdk_sees_an_error_in_a_stream(emulator: Emulator) -> None:
    """An error event inside a 200 stream is raised."""
    openai = pytest.importorskip("openai")
    emulator.script(["stream_error"])
    async with openai_client(emulator) as client:
        stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
        with pytest.raises(openai.APIError, match="had an error"):
            [chunk async for chunk in stream]


@pytest.mark.parametrize("streamed", [False, True])
async def test_groq_sdk_reads_a_chat(emulator: Emulator, streamed: bool) -> None:
    """Text and usage, which sits in x_groq of the last chunk of a stream."""
    async with groq_client(emulator) as client:
        reply = await client.chat.completions.create(model="m", messages=USER, stream=streamed)
        if streamed:
            chunks = [chunk async for chunk in reply]

    if streamed:
        assert DIGEST in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert chunks[-1].x_groq.usage.completion_tokens > 0
    else:
        assert DIGEST in reply.choices[0].message.content
        assert reply.usage.total_time > 0


async def test_groq_sdk_gets_whole_tool_calls(emulator: Emulator) -> None:
    """One delta holds the call."""
    async with groq_client(emulator) as client:
        stream = await client.chat.completions.create(
            model="m", messages=TOOL_USER, tools=[FUNCTION], stream=True
        )
        calls = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]

    assert len(calls) == 1
    assert "city" in json.loads(calls[0].function.arguments)


async def test_groq_sdk_embeds_and_raises(emulator: Emulator) -> None:
    """Embeddings, and a missing key."""
    groq = pytest.importorskip("groq")
    async with groq_client(emulator) as client:
        vectors = await client.embeddings.create(model="m", input="a")
    emulator.revoke("gsk-test")
    async with groq_client(emulator) as client:
        with pytest.raises(groq.AuthenticationError):
            await client.chat.completions.create(model="m", messages=USER)

    assert len(vectors.data[0].embedding) == 64


async def test_anthropic_sdk_reads_a_message(emulator: Emulator) -> None:
    """A plain message of the version that the SDK sends."""
    async with claude_client(emulator) as client:
        message = await client.messages.create(model="m", max_tokens=500, messages=USER, system="Be brief.")

    assert message.content[0].text == answer_text(0, "m", "What is the weather?")
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


async def test_anthropic_sdk_accumulates_a_stream(emulator: Emulator) -> None:
    """Thinking, text and the cumulative usage, put together by the SDK."""
    async with (
        claude_client(emulator) as client,
        client.messages.stream(
            model="m", max_tokens=4000, messages=USER, thinking={"type": "adaptive"}
        ) as stream,
    ):
        final = await stream.get_final_message()

    thinking, text = final.content
    assert thinking.type == "thinking"
    assert thinking.signature
    assert DIGEST in text.text
    assert final.usage.output_tokens_details.thinking_tokens == 32


async def test_anthropic_sdk_round_trips_a_tool_use(emulator: Emulator) -> None:
    """Streamed tool input, then its result with the thinking block unchanged."""
    tool = {"name": "get_weather", "input_schema": SCHEMA}
    options = {"model": "m", "max_tokens": 4000, "tools": [tool], "thinking": {"type": "adaptive"}}
    async with claude_client(emulator) as client:
        async with client.messages.stream(messages=TOOL_USER, **options) as stream:
            first = await stream.get_final_message()
        use = first.content[-1]
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "cold"}
        assistant = {"role": "assistant", "content": first.content}
        second = await client.messages.create(
            messages=[*TOOL_USER, assistant, {"role": "user", "content": [result]}], **options
        )

    assert first.stop_reason == "tool_use"
    assert "city" in use.input
    assert second.stop_reason == "end_turn"


async def test_anthropic_sdk_counts_and_lists(emulator: Emulator) -> None:
    """Token counts and models."""
    async with claude_client(emulator) as client:
        count = await client.messages.count_tokens(model="m", messages=USER)
        models = [model.id async for model in client.models.list()]

    assert count.input_tokens > 0
    assert "claude-sonnet-5-5" in models


async def test_anthropic_sdk_raises_its_own_errors(emulator: Emulator) -> None:
    """Rate limits, and an error inside a stream."""
    anthropic = pytest.importorskip("anthropic")
    emulator.script(["529", "stream_error"])
    async with claude_client(emulator, max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError) as busy:
            await client.messages.create(model="m", max_tokens=500, messages=USER)
        with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
            async with client.messages.stream(model="m", max_tokens=500, messages=USER) as stream:
                await stream.get_final_message()

    assert busy.value.status_code == 529


async def test_ollama_sdk_chats_embeds_and_raises(emulator: Emulator) -> None:
    """Plain, streamed, tools, vectors and errors."""
    ollama = pytest.importorskip("ollama")
    client = ollama.AsyncClient(host=emulator.base_urls["ollama"])

    plain = await client.chat("m", USER, think=True)
    parts = [part async for part in await client.chat("m", USER, stream=True)]
    called = await client.chat("m", TOOL_USER, tools=[FUNCTION])
    written = await client.generate("m", "What is the weather?")
    vectors = await client.embed("m", ["a", "b"])
    models = await client.list()
    with pytest.raises(ollama.ResponseError, match="not found"):
        await client.chat("missing", USER)
    await client._client.aclose()

    assert DIGEST in plain.message.content
    assert plain.message.thinking
    assert "".join(part.message.content for part in parts) == plain.message.content
    assert parts[-1].eval_count > 0
    assert "city" in called.message.tool_calls[0].function.arguments
    assert written.response == plain.message.content
    assert len(vectors.embeddings) == 2
    assert models.models[0].model == "qwen3:8b"


async def test_hugging_face_sdk_embeds(emulator: Emulator) -> None:
    """Feature extraction against the TEI routes."""
    hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("numpy")
    async with hub.AsyncInferenceClient(model=emulator.base_urls["hf_tei"] + "/embed") as client:
        vectors = await client.feature_extraction("a text")

    assert vectors.shape == (1, 64)


async def test_openai_sdk_reads_tei_vectors(emulator: Emulator) -> None:
    """TEI's OpenAI route serves the SDK's hidden base64."""
    openai = pytest.importorskip("openai")
    base_url = emulator.base_urls["hf_tei"] + "/v1"
    async with openai.AsyncOpenAI(api_key="-", base_url=base_url) as client:
        vectors = await client.embeddings.create(model="m", input=["a", "b"])

    assert [len(item.embedding) for item in vectors.data] == [64, 64]


async def test_sdk_waits_for_the_real_limiter() -> None:
    """With one request a burst the SDK is told when to come back, and is then let in."""
    limits = Limits(requests_per_minute=1500)
    async with (
        Emulator(timing=Timing.instant(), limits=limits) as emulator,
        openai_client(emulator) as client,
    ):
        for _ in range(3):
            await client.chat.completions.create(model="m", messages=USER)

    assert emulator.early_retries() == []
