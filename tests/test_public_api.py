"""The public names: complete, sorted, documented, and all of them used by the typing check."""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any

import pytest

import asyncapi

MODULES = [
    "asyncapi",
    "asyncapi.abc",
    "asyncapi.backends",
    "asyncapi.caching",
    "asyncapi.client",
    "asyncapi.config",
    "asyncapi.emulator",
    "asyncapi.errors",
    "asyncapi.integrations",
    "asyncapi.integrations.aiohttp_web",
    "asyncapi.integrations.asgi",
    "asyncapi.jobs",
    "asyncapi.objects",
    "asyncapi.testing",
    "asyncapi.testing.simulation",
    "asyncapi.types.events",
    "asyncapi.types.messages",
    "asyncapi.types.objects",
    "asyncapi.types.requests",
    "asyncapi.types.responses",
    "asyncapi.types.tensors",
    "asyncapi.types.usage",
    "asyncapi.types.wire",
]


def public(module: types.ModuleType) -> dict[str, Any]:
    """Names without an underscore that are no modules, and what they are."""
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name: value for name, value in names.items() if not isinstance(value, types.ModuleType)}


def documented(thing: Any) -> list[str]:
    """What of a class or function of this package has no docstring."""
    missing = [] if (thing.__doc__ or "").strip() else [thing.__qualname__]
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            function = getattr(member, "__func__", member)
            ours = isinstance(function, types.FunctionType | property) and not name.startswith("_")
            if ours and not (function.__doc__ or "").strip():
                missing.append(f"{thing.__qualname__}.{name}")
    return missing


def test_all_is_sorted() -> None:
    """Sorted, and nothing twice."""
    assert sorted(set(asyncapi.__all__)) == asyncapi.__all__


def test_all_is_what_is_visible() -> None:
    """Every public name is meant, and every name that is meant is there."""
    assert {*public(asyncapi), "__version__"} == set(asyncapi.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    """Classes with their methods and properties, and functions."""
    module = importlib.import_module(name)

    things = [getattr(module, word) for word in module.__all__]
    ours = [t for t in things if inspect.isclass(t) or inspect.isfunction(t)]

    assert not [gap for thing in ours for gap in documented(thing)]


def test_the_version_is_one() -> None:
    """The package knows the version that it was installed as, and the changelog has it."""
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?\w+)?", asyncapi.__version__)
    assert f"## [{asyncapi.__version__}]" in changelog or "## [Unreleased]" in changelog


def test_every_request_and_its_response_are_at_hand() -> None:
    """Requests for ``call`` and ``map``, and what the verbs give, need one import."""
    modules = [
        importlib.import_module(f"asyncapi.types.{name}") for name in ("requests", "responses", "objects")
    ]
    names = {name for module in modules for name in module.__all__ if name.endswith(("Request", "Response"))}

    assert names <= set(asyncapi.__all__)


def test_every_public_name_is_in_the_typing_check() -> None:
    """``tests/typing/api.py`` is read by mypy only; here it is made sure that it leaves nothing out."""
    source = (Path(__file__).parent / "typing" / "api.py").read_text(encoding="utf-8")
    used = set(re.findall(r"\basyncapi\.(\w+)", source))

    assert not set(asyncapi.__all__) - used
