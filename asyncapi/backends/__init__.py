"""The backends by name. Each is imported when it is first asked for.

A service of your own that speaks the OpenAI dialect is one row::

    from asyncapi.backends import OpenAIDialect, Quirks
    from asyncapi.types.wire import Service

    mine = OpenAIDialect(
        Service(name="mine", operations=frozenset({"chat"}), base_url="http://host:8000/v1", needs_key=False),
        Quirks(names={"max_tokens": "max_tokens"}),
    )
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asyncapi.errors import UnknownModelError, UnsupportedOperationError

if TYPE_CHECKING:
    from asyncapi.abc import Backend
    from asyncapi.backends._openai_dialect import OpenAIDialect
    from asyncapi.backends._openai_quirks import Quirks

__all__ = ["BACKENDS", "OpenAIDialect", "Quirks", "get_backend", "known_backends", "unsupported_operation"]

#: Backend name to the module that holds it as ``backend``.
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "claude": "asyncapi.backends.claude",
        "groq": "asyncapi.backends.groq",
        "hf_tei": "asyncapi.backends.hf_tei",
        "ollama": "asyncapi.backends.ollama",
        "openai": "asyncapi.backends.openai",
        "opea": "asyncapi.backends.opea",
        "vllm": "asyncapi.backends.vllm",
    }
)

# Written down, so that an error message need not import every backend; a test compares them.
_OFFERED: Mapping[str, tuple[str, ...]] = {
    "chat": ("claude", "groq", "ollama", "openai", "opea", "vllm"),
    "embed": ("groq", "hf_tei", "ollama", "openai", "opea", "vllm"),
    "rerank": ("hf_tei", "opea", "vllm"),
    "models": ("claude", "groq", "hf_tei", "ollama", "openai", "vllm"),
}


def known_backends() -> tuple[str, ...]:
    """The names that ``get_backend`` knows, sorted."""
    return tuple(sorted(BACKENDS))


def get_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        UnknownModelError: There is none; the message names the known ones and the nearest.
    """
    module = BACKENDS.get(name)
    if module is None:
        near = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UnknownModelError(f"no backend {name!r}{hint} Known: {', '.join(known_backends())}.")
    backend: Backend = importlib.import_module(module).backend
    return backend


def unsupported_operation(service: str, operation: str) -> UnsupportedOperationError:
    """The error for an operation that a service does not offer, naming services that do."""
    others = [name for name in _OFFERED.get(operation, ()) if name != service]
    hint = f"; these do: {', '.join(others)}" if others else ""
    return UnsupportedOperationError(f"{service} does not offer {operation!r}{hint}")


def __getattr__(name: str) -> Any:
    if name == "OpenAIDialect":
        return importlib.import_module("asyncapi.backends._openai_dialect").OpenAIDialect
    if name == "Quirks":
        return importlib.import_module("asyncapi.backends._openai_quirks").Quirks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
