"""More official SDKs as witnesses: Gemini, TGI, KServe, the rest of OpenAI and Groq.

They are not needed for development; each test is skipped where its SDK is not installed.
"""

# mypy: ignore-errors

import pytest

from asyncapi.emulator import Emulator, answer_text, question_digest

# The SDKs' own sins are not ours.
pytestmark = pytest.mark.filterwarnings("default")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DIGEST = question_digest("What is the weather?")


def gemini_client(emulator: Emulator, version: str = "v1"):
    """Google's SDK pointed at the emulator."""
    genai = pytest.importorskip("google.genai")
    options = {"base_url": emulator.base_urls["gemini"], "api_version": version}
    return genai.Client(api_key="AIza-test", http_options=options)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_google_sdk_generates_streams_and_counts(emulator: Emulator, version: str) -> None:
    """Text, thoughts, chunks, tokens."""
    async with gemini_client(emulator, version).aio as client:
        plain = await client.models.generate_content(model="m", contents="What is the weather?")
        config = {"thinking_config": {"include_thoughts": True, "thinking_level": "LOW"}}
        stream = await client.models.generate_content_stream(
            model="m", contents="What is the weather?", config=config
        )
        chunks = [chunk async for chunk in stream]
        count = await client.models.count_tokens(model="m", contents="What is the weather?")

    assert plain.text == answer_text(0, "m", "What is the weather?")
    assert "".join(chunk.text or "" for chunk in chunks) == plain.text
    assert chunks[-1].usage_metadata.thoughts_token_count == 16
    assert count.total_tokens > 0


async def test_google_sdk_calls_tools_embeds_lists_and_raises(emulator: Emulator) -> None:
    """Automatic function calling goes the whole round; vectors, models and errors arrive."""
    errors = pytest.importorskip("google.genai.errors")

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"cold in {city}"

    async with gemini_client(emulator).aio as client:
        reply = await client.models.generate_content(
            model="gemini-3.5-flash", contents="Use the tool", config={"tools": [get_weather]}
        )
        vectors = await client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
        models = [model.name async for model in await client.models.list()]
        emulator.script(["429_float", "stream_error"])
        with pytest.raises(errors.ClientError) as limited:
            await client.models.generate_content(model="m", contents="Hi")
        with pytest.raises(errors.APIError):
            async for _ in await client.models.generate_content_stream(model="m", contents="Hi"):
                pass

    assert reply.text
    assert len(reply.automatic_function_calling_history) == 3
    assert [len(item.values) for item in vectors.embeddings] == [64, 64]
    assert "models/gemini-3.5-flash" in models
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")


async def test_hugging_face_sdk_generates_and_streams(emulator: Emulator) -> None:
    """Text generation with details, token by token, and through the Messages route."""
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    url = emulator.base_urls["hf_tgi"]
    client = hub.AsyncInferenceClient(model=url)
    plain = await client.text_generation("What is the weather?", details=True, max_new_tokens=50)
    stream = await client.text_generation("What is the weather?", details=True, stream=True)
    parts = [part async for part in stream]
    chat = await client.chat_completion([{"role": "user", "content": "What is the weather?"}])
    with pytest.raises(errors.ValidationError):
        await client.text_generation("Hi", temperature=-1.0)

    assert DIGEST in plain.generated_text
    assert plain.details.finish_reason == "eos_token"
    assert parts[-1].generated_text == plain.generated_text
    assert DIGEST in chat.choices[0].message.content


async def test_text_generation_sdk_generates_streams_and_raises(emulator: Emulator) -> None:
    """The old client of this server, which reads ``data:`` without a space."""
    sdk = pytest.importorskip("text_generation")
    errors = pytest.importorskip("text_generation.errors")
    client = sdk.AsyncClient(emulator.base_urls["hf_tgi"])
    plain = await client.generate("What is the weather?", max_new_tokens=50)
    parts = [part async for part in client.generate_stream("What is the weather?", max_new_tokens=50)]
    emulator.script(["529", "stream_error"])
    with pytest.raises(errors.OverloadedError):
        await client.generate("Hi")
    with pytest.raises(errors.GenerationError):
        [part async for part in client.generate_stream("What is the weather?")]

    assert DIGEST in plain.generated_text
    assert parts[-1].generated_text == plain.generated_text
