"""Where our bodies differ from the official SDKs', on purpose."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """Places where bodies differ, and why ours is right too."""

    service: str
    places: tuple[str, ...]
    reason: str


_DECLARED = "body.tools[].functionDeclarations[]"
_SCHEMA = (
    '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], '
    '"additionalProperties": false}'
)
_THINKING = "body.generationConfig.thinkingConfig"
_SPELLING = "its server reads both spellings; ours is the documented one, everywhere"

DIFFERENCES: dict[str, Difference] = {
    "null content": Difference(
        "openai, groq",
        ("only ours: body.messages[].content = null",),
        "a message that only calls tools: the field is required, and some look-alikes refuse its absence",
    ),
    "parse stream": Difference(
        "openai", ("only theirs: body.stream = false",), "the service's own default, said aloud by parse()"
    ),
    "openai padding": Difference(
        "openai",
        ("only ours: body.stream_options.include_obfuscation = false",),
        "the padding against traffic analysis is a third of a stream's bytes",
    ),
    "responses padding": Difference(
        "openai",
        ('only ours: body.stream_options = {"include_obfuscation": false}',),
        "the padding against traffic analysis is a third of a stream's bytes",
    ),
    "responses strict": Difference(
        "openai",
        ("only ours: body.tools[].strict = null",),
        "without the field this API is strict, the chat API is not: null means the same in both",
    ),
    "empty body": Difference(
        "openai", ("body: ours {}, theirs null",), "an object without fields where the API wants nothing"
    ),
    "opea float": Difference(
        "opea",
        ('only theirs: body.encoding_format = "float"',),
        "the service's own default, said aloud; without it the SDK asks for base64, which OPEA's parts lack",
    ),
    "groq base64": Difference(
        "groq",
        ('only ours: body.encoding_format = "base64"',),
        "a quarter of the bytes; both forms are read",
    ),
    "gemini system role": Difference(
        "gemini",
        ('only theirs: body.systemInstruction.role = "user"',),
        "the role of a system instruction is ignored",
    ),
    "gemini role of texts": Difference(
        "gemini",
        ('only theirs: body.requests[].content.role = "user"',),
        "the role of a text to embed is ignored",
    ),
    "gemini empty settings": Difference(
        "gemini", ("only theirs: body.generationConfig = {}",), "nothing is set"
    ),
    "gemini spelling of tools": Difference(
        "gemini",
        (
            f"only ours: {_DECLARED}.parametersJsonSchema = {_SCHEMA}",
            f"only theirs: {_DECLARED}.parameters_json_schema = {_SCHEMA}",
        ),
        _SPELLING,
    ),
    "gemini spelling of media": Difference(
        "gemini",
        (
            'only ours: body.contents[].parts[].inlineData.mimeType = "image/png"',
            'only theirs: body.contents[].parts[].inlineData.mime_type = "image/png"',
        ),
        _SPELLING,
    ),
    "gemini spelling of thinking": Difference(
        "gemini",
        (
            f"only ours: {_THINKING}.includeThoughts = true",
            f"only ours: {_THINKING}.thinkingBudget = 128",
            f"only theirs: {_THINKING}.include_thoughts = true",
            f"only theirs: {_THINKING}.thinking_budget = 128",
        ),
        _SPELLING,
    ),
    "ollama empty tools": Difference("ollama", ("only theirs: body.tools = []",), "there are none"),
    "ollama schema": Difference(
        "ollama",
        ("only ours: body.tools[].function.parameters.additionalProperties = false",),
        "the SDK's own type loses the field; the server passes it to the model's template",
    ),
    "ollama insecure": Difference(
        "ollama", ("only theirs: body.insecure = false",), "the service's own default, said aloud"
    ),
    "hub stream": Difference(
        "hf_tgi",
        ("only theirs: body.stream = true",),
        "the path says that it is a stream; the field counts at the path / alone",
    ),
    "hub whole": Difference(
        "hf_tgi", ("only theirs: body.stream = false",), "the service's own default, said aloud"
    ),
    "infer id": Difference(
        "ovms",
        ('only theirs: body.id = "1"', 'only theirs: body.model_name = "m"'),
        "an optional id, and the model that the path names already",
    ),
    "predict version": Difference(
        "ovms",
        ('path: ours "/v1/models/m:predict", theirs "/v1/models/m/versions/0:predict"',),
        "version 0 means the latest, and so does none",
    ),
}
