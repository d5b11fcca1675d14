"""Two services as the registry would describe them: one that needs a key, one that doesn't."""

from __future__ import annotations

import pytest

from asyncapi.types.wire import Service


@pytest.fixture
def openai() -> Service:
    return Service(
        name="openai",
        operations=frozenset({"chat"}),
        base_url="https://api.openai.com/v1/",
        key_env=("OPENAI_API_KEY", "OAI_KEY"),
        url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    )


@pytest.fixture
def tgi() -> Service:
    return Service(
        name="hf_tgi",
        operations=frozenset({"chat"}),
        key_env=("HF_TOKEN",),
        url_env=("TGI_URL",),
        needs_key=False,
    )
