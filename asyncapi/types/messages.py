"""Messages and their parts, and tools: the normal form that every backend translates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "Audio",
    "File",
    "Image",
    "Message",
    "MessageLike",
    "Part",
    "RawPart",
    "Reasoning",
    "Role",
    "Text",
    "Tool",
    "ToolCall",
    "ToolLike",
    "ToolResult",
    "as_messages",
    "as_tools",
]

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


class Text(msgspec.Struct, frozen=True, gc=False):
    """A piece of text. ``cache`` ("5m" or "1h") asks for a prompt-cache breakpoint after it."""

    text: str
    cache: str | None = None


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image, by ``url`` or by ``data`` (base64, without a ``data:`` prefix) with its media type."""

    url: str = ""
    data: str = ""
    media_type: str = "image/png"
    detail: str | None = None
    cache: str | None = None


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """Audio as base64 with its format ("wav", "mp3")."""

    data: str
    format: str = "wav"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A document: by id, by URL, or as base64 ``data`` with its media type."""

    file_id: str = ""
    url: str = ""
    data: str = ""
    media_type: str = "application/pdf"
    filename: str | None = None
    cache: str | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """The model asks for a function. ``arguments`` is the model's JSON text, possibly broken or empty.

    ``provider_data`` is what the service wants back unchanged with the call (a signature),
    ``provider`` the backend that gave it; it is never sent to another one.
    """

    id: str
    name: str
    arguments: str
    provider: str = ""
    provider_data: Any = None

    def parsed(self) -> Any:
        """The arguments as JSON, ``{}`` for an empty text.

        Raises:
            msgspec.DecodeError: The model wrote something else than JSON.
        """
        return msgspec.json.decode(self.arguments) if self.arguments.strip() else {}


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the function returned, for the tool call ``tool_call_id``."""

    tool_call_id: str
    content: str
    name: str = ""
    is_error: bool = False


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """Reasoning text.

    ``provider_data`` is the service's own block, sent back unchanged, and to that ``provider`` only.
    """

    text: str = ""
    provider: str = ""
    provider_data: Any = None


class RawPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that only ``provider`` understands, passed through as it is."""

    provider: str
    data: Any


Part: TypeAlias = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | RawPart


class Message(msgspec.Struct, frozen=True):
    """One turn: a role and its content, a plain string or a tuple of parts."""

    role: Role
    content: str | tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """The text of all text parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls among the parts."""
        if isinstance(self.content, str):
            return ()
        return tuple(part for part in self.content if isinstance(part, ToolCall))


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call; ``parameters`` is a JSON Schema object.

    A tool hosted by a service has ``raw``: its dictionary, passed through as it is.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    raw: Mapping[str, Any] | None = None


MessageLike: TypeAlias = Message | Mapping[str, Any]
ToolLike: TypeAlias = Tool | Mapping[str, Any]


def as_messages(value: str | Sequence[MessageLike]) -> tuple[Message, ...]:
    """Messages in normal form from a string (one user turn), typed messages, or OpenAI-shaped dictionaries.

    Raises:
        ValueError: A message that can't be read; the text names its place and what was expected.
    """
    if isinstance(value, str):
        return (Message("user", value),)
    messages = tuple(m if isinstance(m, Message) else _message(i, m) for i, m in enumerate(value))
    if not messages:
        raise ValueError("messages is empty: give a string or at least one message")
    return messages


def as_tools(value: Sequence[ToolLike] | None) -> tuple[Tool, ...]:
    """Tools in normal form from typed tools, OpenAI-shaped or flat dictionaries.

    Raises:
        ValueError: A tool without a name.
    """
    return tuple(t if isinstance(t, Tool) else _tool(i, t) for i, t in enumerate(value or ()))


def _message(index: int, value: Mapping[str, Any]) -> Message:
    where = f"messages[{index}]"
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{where}: expected a Message or a dictionary with role and content, got {value!r:.80}"
        )
    role = value.get("role")
    if role not in _ROLES:
        raise ValueError(f"{where}.role: expected one of {', '.join(sorted(_ROLES))}, got {role!r}")
    content = value.get("content")
    if role == "tool":
        result = ToolResult(
            tool_call_id=str(value.get("tool_call_id", "")),
            content=content if isinstance(content, str) else _plain_text(f"{where}.content", content),
            name=str(value.get("name", "")),
        )
        return Message("tool", (result,))
    calls = tuple(
        _tool_call(f"{where}.tool_calls[{i}]", c) for i, c in enumerate(value.get("tool_calls") or ())
    )
    if isinstance(content, str):
        return Message(
            role, (*((Text(content),) if content else ()), *calls) if calls else content, value.get("name")
        )
    if content is None and not calls:
        raise ValueError(f"{where}.content: missing")
    parts = tuple(_part(f"{where}.content[{i}]", p) for i, p in enumerate(content or ()))
    return Message(role, parts + calls, value.get("name"))


def _part(where: str, value: Any) -> Part:
    if isinstance(value, Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | RawPart):
        return value
    if isinstance(value, str):
        return Text(value)
    match value:
        case {"type": "text", "text": str(text)}:
            return Text(text)
        case {"type": "image_url", "image_url": {"url": str(url)} as image}:
            return _image(url, image.get("detail"))
        case {"type": "image_url", "image_url": str(url)}:
            return _image(url, None)
        case {"type": "input_audio", "input_audio": {"data": str(data), **rest}}:
            return Audio(data=data, format=str(rest.get("format", "wav")))
        case {"type": "file", "file": Mapping() as file}:
            return _file(file)
    raise ValueError(
        f"{where}: expected a part (text, image_url, input_audio or file, or a typed part such as Image), "
        f"got {value!r:.80}"
    )


def _image(url: str, detail: Any) -> Image:
    media_type, data = _data_url(url)
    return Image(data=data, media_type=media_type, detail=detail) if data else Image(url=url, detail=detail)


def _file(file: Mapping[str, Any]) -> File:
    media_type, data = _data_url(str(file.get("file_data", "")))
    return File(
        file_id=str(file.get("file_id", "")),
        data=data,
        media_type=media_type or "application/pdf",
        filename=file.get("filename"),
    )


def _data_url(url: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return "", ""
    return head[5:].removesuffix(";base64") or "application/octet-stream", data


def _plain_text(where: str, content: Any) -> str:
    parts = [_part(f"{where}[{i}]", part) for i, part in enumerate(content or ())]
    return "".join(part.text for part in parts if isinstance(part, Text))


def _tool_call(where: str, value: Any) -> ToolCall:
    if isinstance(value, ToolCall):
        return value
    match value:
        case {"function": {"name": str(name), **rest}}:
            arguments = rest.get("arguments", "")
            if not isinstance(arguments, str):
                arguments = msgspec.json.encode(arguments).decode()
            return ToolCall(id=str(value.get("id", "")), name=name, arguments=arguments)
    raise ValueError(f"{where}: expected {{'id', 'function': {{'name', 'arguments'}}}}, got {value!r:.80}")


def _tool(index: int, value: Mapping[str, Any]) -> Tool:
    rest: Mapping[str, Any]
    match value:
        case {"type": "function", "function": {"name": str(name)} as rest}:
            pass
        case {"type": str(kind)} if kind not in ("function", "custom"):
            return Tool(name=str(value.get("name", kind)), raw=value)
        case {"name": str(name)}:
            rest = value
        case _:
            raise ValueError(
                f"tools[{index}]: expected a Tool or a dictionary with a name, got {value!r:.80}"
            )
    parameters = rest.get("parameters", rest.get("input_schema"))
    return Tool(
        name=name, description=rest.get("description"), parameters=parameters, strict=rest.get("strict")
    )
