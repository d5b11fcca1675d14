"""Backends by name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import asyncapi.backends
from asyncapi.abc import ServiceBackend
from asyncapi.backends import BACKENDS, get_backend, known_backends, unsupported_operation
from asyncapi.errors import UnknownModelError
from asyncapi.types.wire import BatchLimit, Service


def service(name: str) -> Service:
    """What a backend says of its service."""
    backend: Any = get_backend(name)
    row: Service = backend.service
    return row


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_every_row_holds_a_whole_backend_of_that_name(name: str) -> None:
    """With its service, its errors, and streams if it has any."""
    backend = get_backend(name)

    assert backend.name == service(name).name == name
    assert hasattr(backend, "error")
    assert isinstance(backend, ServiceBackend) is service(name).streaming
    assert get_backend(name) is backend


def test_an_unknown_name_is_told_the_nearest_and_all() -> None:
    """A typo is seen at once."""
    with pytest.raises(UnknownModelError, match=r"'opnai'; did you mean 'openai'\? Known: claude, "):
        get_backend("opnai")
    with pytest.raises(UnknownModelError, match=r"'zzz'\. Known"):
        get_backend("zzz")


def test_the_hint_at_other_services_is_true() -> None:
    """The list in the message against what the services say of themselves."""
    for operation in ("chat", "embed", "rerank", "models", "complete", "score"):
        offered = {name for name in known_backends() if operation in service(name).operations}
        told = str(unsupported_operation("nobody", operation)).partition("these do: ")[2]
        assert set(told.split(", ")) == offered
    assert str(unsupported_operation("openai", "fly")) == "openai does not offer 'fly'"


@pytest.mark.slow
def test_importing_the_registry_imports_no_backend() -> None:
    """Nor the dialect, which is there by name all the same."""
    code = (
        "import sys, asyncapi.backends as b; "
        "assert not [m for m in sys.modules if m in b.BACKENDS.values() or '._openai_' in m]; "
        "assert b.OpenAIDialect.__name__ == 'OpenAIDialect' and b.Quirks().base64"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="nothing"):
        _ = asyncapi.backends.nothing


@pytest.mark.parametrize(
    ("name", "url", "keys", "urls", "needs_key", "batch"),
    [
        ("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), ("OPENAI_BASE_URL",), True,
         BatchLimit(items=2048, chars=900_000)),
        ("groq", "https://api.groq.com", ("GROQ_API_KEY",), ("GROQ_BASE_URL",), True,
         BatchLimit(items=2048, chars=900_000)),
        ("vllm", "http://localhost:8000", ("VLLM_API_KEY",), ("VLLM_BASE_URL", "VLLM_API_URL"), False,
         BatchLimit(items=256)),
        ("opea", "http://localhost:8000/v1", (), ("OPEA_API_ENDPOINT", "OPEA_BASE_URL"), False,
         BatchLimit(items=32)),
    ],
)  # fmt: skip
def test_a_row_says_where_its_settings_are_found(
    name: str,
    url: str,
    keys: tuple[str, ...],
    urls: tuple[str, ...],
    needs_key: bool,
    batch: BatchLimit,
) -> None:
    """The names that the official SDKs use."""
    row = service(name)

    assert (row.base_url, row.key_env, row.url_env) == (url, keys, urls)
    assert row.needs_key is needs_key
    assert row.batches["embed"] == batch
