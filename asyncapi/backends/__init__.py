"""The backends by name. Each is imported when it is first asked for.

A service of your own that speaks the OpenAI dialect is one row::

    from asyncapi.backends import OpenAIDialect, Quirks

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
from typing import TYPE_CHECKING, Any, cast

from asyncapi.errors import UnknownModelError, UnsupportedOperationError

if TYPE_CHECKING:
    from asyncapi.abc import Backend, ServiceBackend
    from asyncapi.backends._openai_dialect import OpenAIDialect
    from asyncapi.backends._openai_quirks import Quirks

__all__ = ["BACKENDS", "OpenAIDialect", "Quirks", "get_backend", "known_backends", "unsupported_operation"]

#: Backend name to the module that holds it as ``backend``.
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "claude": "asyncapi.backends.claude",
        "gemini": "asyncapi.backends.gemini",
        "groq": "asyncapi.backends.groq",
        "hf_tei": "asyncapi.backends.hf_tei",
        "hf_tgi": "asyncapi.backends.hf_tgi",
        "llvm": "asyncapi.backends.llvm",
        "ollama": "asyncapi.backends.ollama",
        "openai": "asyncapi.backends.openai",
        "opea": "asyncapi.backends.opea",
        "ovms": "asyncapi.backends.ovms",
        "s3_kit": "asyncapi.backends.s3_kit",
        "vllm": "asyncapi.backends.vllm",
    }
)


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
    """The error for an operation that a service does not offer, naming services that do.

    It asks every backend, so the first such error imports them all.
    """
    others = [name for name in known_backends() if name != service and _offers(name, operation)]
    hint = f"; these do: {', '.join(others)}" if others else ""
    return UnsupportedOperationError(f"{service} does not offer {operation!r}{hint}")


def _offers(name: str, operation: str) -> bool:
    backend = cast("ServiceBackend", get_backend(name))
    return operation in backend.service.operations


def __getattr__(name: str) -> Any:
    if name == "OpenAIDialect":
        return importlib.import_module("asyncapi.backends._openai_dialect").OpenAIDialect
    if name == "Quirks":
        return importlib.import_module("asyncapi.backends._openai_quirks").Quirks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
