"""What the Claude API refuses, and what it reads from a request.

Source: Claude API reference, "Messages" and "Versioning".
"""

import base64
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from asyncapi.emulator.answers import Tool, tools_to_call
from asyncapi.emulator.exchange import Json, Problem, Trouble, invalid

OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_EXTRA = "Extra inputs are not permitted"


def check_version(headers: Mapping[str, str], body: Json) -> None:
    """A version is required, and the new one refuses sampling fields and some blocks."""
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in (OLD_VERSION, NEW_VERSION):
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    if version == OLD_VERSION:
        return
    for name in _SAMPLING:
        if name in body:
            raise invalid(f"{name}: {_EXTRA}")
    for position, message in enumerate(body.get("messages") or []):
        for place, block in enumerate(_blocks(message)):
            _check_block(message["role"], block, f"messages.{position}.content.{place}")


def _check_block(role: str, block: Json, where: str) -> None:
    if role == "assistant" and block.get("type") == "document":
        raise invalid(f"{where}: document blocks are not permitted in assistant messages")
    if role == "user" and block.get("type") == "text" and block.get("citations"):
        raise invalid(f"{where}.citations: {_EXTRA}")


def known_model(body: Json) -> str:
    """The model of a request; names that begin with ``missing`` do not exist here."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("model: Field required")
    if model.startswith("missing"):
        raise Problem(Trouble.NO_MODEL, f"model: {model}")
    return model


def check_max_tokens(body: Json) -> int:
    """The required cap on output tokens."""
    cap = body.get("max_tokens")
    if cap is None:
        raise invalid("max_tokens: Field required")
    if not isinstance(cap, int) or isinstance(cap, bool) or cap < 0:
        raise invalid("max_tokens: Input should be a valid integer of 0 or more")
    return cap


def stop_sequences(body: Json) -> list[str]:
    """The texts that end an answer."""
    words = body.get("stop_sequences") or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise invalid("stop_sequences: Input should be a valid list of strings")
    return words


def check_messages(body: Json) -> list[Json]:
    """The messages: known roles, signatures unharmed, tool results where they belong."""
    messages = body.get("messages")
    if messages is None:
        raise invalid("messages: Field required")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages: at least one message is required")
    waiting: set[str] = set()
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise invalid(f"messages.{position}.role: Input should be 'user' or 'assistant'")
        if not message.get("content"):
            raise invalid(f"messages.{position}.content: Field required")
        blocks = _blocks(message)
        _check_results(blocks, waiting, position)
        _check_thinking(blocks, position)
        waiting = {block.get("id", "") for block in blocks if block.get("type") == "tool_use"}
    if waiting:
        raise invalid(f"`tool_use` ids were found without `tool_result` blocks: {', '.join(sorted(waiting))}")
    return messages


def _blocks(message: Any) -> list[Json]:
    content = message.get("content") if isinstance(message, dict) else None
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _check_results(blocks: list[Json], waiting: set[str], position: int) -> None:
    kinds = [block.get("type") == "tool_result" for block in blocks]
    answered = {block.get("tool_use_id", "") for block in blocks if block.get("type") == "tool_result"}
    if waiting - answered:
        raise invalid(
            f"messages.{position}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            + ", ".join(sorted(waiting - answered))
        )
    if answered - waiting:
        raise invalid(f"messages.{position}: unexpected `tool_use_id` found in `tool_result` blocks")
    if kinds != sorted(kinds, reverse=True):
        raise invalid(f"messages.{position}: `tool_result` blocks must come first in the content")


def _check_thinking(blocks: list[Json], position: int) -> None:
    for block in blocks:
        if block.get("type") == "thinking" and block.get("signature") != signature(block.get("thinking", "")):
            raise invalid(f"messages.{position}: Invalid `signature` in `thinking` block")


def signature(thinking: str) -> str:
    """What proves that a thinking block comes from here unchanged."""
    return base64.b64encode(blake2b(b"thinking" + thinking.encode(), digest_size=24).digest()).decode()


def thinking_tokens(body: Json, cap: int | None) -> int:
    """Tokens to think before the answer."""
    thinking = body.get("thinking") or {}
    kind = thinking.get("type", "disabled")
    if kind not in ("adaptive", "enabled", "disabled", "between_tools"):
        raise invalid(f"thinking.type: Input tag '{kind}' is not known")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if cap is not None and budget >= cap:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
    return 32 if kind in ("adaptive", "enabled") else 0


def declared_tools(tools: Any) -> list[Tool]:
    """The client tools of a request."""
    declared = []
    for position, tool in enumerate(tools or []):
        if not isinstance(tool, dict) or "name" not in tool:
            raise invalid(f"tools.{position}.name: Field required")
        if tool.get("type", "custom") == "custom":
            if not isinstance(tool.get("input_schema"), dict):
                raise invalid(f"tools.{position}.custom.input_schema: Field required")
            declared.append(Tool(tool["name"], tool["input_schema"]))
    return declared


def tools_now(body: Json, tools: list[Tool], messages: list[Json], text: str) -> tuple[Tool, ...]:
    """The tools that this answer calls."""
    choice = body.get("tool_choice") or {"type": "auto"}
    kind = str(choice.get("type"))
    if kind == "tool":
        return tools_to_call(tools, text, name=choice.get("name", ""))
    last = messages[-1]
    if kind == "auto" and any(block.get("type") == "tool_result" for block in _blocks(last)):
        return ()
    word = {"any": "required", "none": "none"}.get(kind, "auto")
    return tools_to_call(tools, text, choice=word, parallel=not choice.get("disable_parallel_tool_use"))


def wanted_schema(body: Json) -> Json | None:
    """The JSON Schema that the answer must satisfy."""
    wanted = (body.get("output_config") or {}).get("format") or {}
    if wanted.get("type") != "json_schema":
        return None
    if not isinstance(wanted.get("schema"), dict):
        raise invalid("output_config.format.schema: Field required")
    schema: Json = wanted["schema"]
    return schema
