"""A pytest plugin that keeps which witness saw which operation of which service, and how it went.

    python -m pytest -p tests.witness.collecting --witness-results results.json tests/witness ...

What a test shows is known from its marker (``witness(service=..., operation=..., by=...)``), from its
parameters, from what the emulator was asked in it, or from what our backends were asked in it.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncapi.backends import get_backend, known_backends
from asyncapi.types.requests import Request

EMULATOR, SDK, DIFFERENTIAL, SERVER, OWN = WAYS = (
    "our client against the emulator",
    "official SDK against the emulator",
    "same body as the official SDK",
    "real server",
    "our own tests",
)
#: Packages whose versions are told.
PACKAGES = [
    "openai",
    "anthropic",
    "google-genai",
    "groq",
    "ollama",
    "huggingface_hub",
    "text-generation",
    "kserve",
    "tritonclient",
    "ovmsclient",
    "aiobotocore",
]
_SDK_OF = {
    "hugging_face": "huggingface_hub",
    "hf_tgi": "huggingface_hub",
    "google": "google-genai",
    "triton": "tritonclient",
}
_SDK_OF |= {"ovms": "ovmsclient", "text_generation": "text-generation"}
_STORES = {"moto": "moto", "seaweed": "SeaweedFS", "rclone": "rclone"}
#: Ends of the emulator's paths, and what is asked there; the first that fits.
_ROUTES = tuple(
    (re.compile(pattern), operation)
    for pattern, operation in (
        (r"/v1/messages/count_tokens$|:countTokens$|/responses/input_tokens$", "count_tokens"),
        (r"/chat/completions$|/messages$|enerateContent$|/api/chat$", "chat"),
        (r"/completions$|/api/generate$|/generate(_stream)?$", "complete"),
        (r"/embeddings$|mbedContents?$|/api/embed$|hf_tei/embed$", "embed"),
        (r"/responses$", "respond"),
        (r"/responses/[^/]+$", "native response"),
        (r"/responses/[^/]+/input_items$", "native response_input"),
        (r"/moderations$", "moderate"),
        (r"/images/generations$", "image"),
        (r"/audio/speech$", "speech"),
        (r"/audio/transcriptions$", "transcribe"),
        (r"/audio/translations$", "translate"),
        (r"/api/(show|ps|pull|version)$", r"native \1"),
        (r"/v2/health/(live|ready)$", r"native \1"),
        (r"/v2$", "native server_metadata"),
        (r"/v2/models/[^/]+/ready$", "native model_ready"),
        (r"/v2/models/[^/]+$", "native metadata"),
        (r"/responses/[^/]+/cancel$", "native cancel_response"),
        (r"/infer$", "infer"),
        (r":predict$", "native predict"),
        (r"openai/v1/models/", "native model"),
        (r"/models$|/api/tags$", "models"),
        (r"^/s3_kit", "object"),
    )
)


class Row(NamedTuple):
    """One test's word on one operation."""

    way: str
    service: str
    operation: str
    by: str
    outcome: str
    test: str
    reason: str = ""


class Collector:
    """Keeps rows while tests run.

    State: the ``rows``; ``asked`` is what our backends were asked in the test that runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.asked: set[tuple[str, str]] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Iterator[None]:
        result: Any = yield
        report = result.get_result()
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            if report.outcome == "failed":
                reason = str(getattr(report.longrepr, "reprcrash", ""))[:300]
            for way, service, operation, by in self._shown(item):
                row = Row(way, service, operation, by, report.outcome, item.nodeid, reason)
                self.rows.append(row)
        if report.when == "teardown":
            self.asked.clear()

    def pytest_sessionfinish(self) -> None:
        """Write what was kept."""
        versions = {}
        for name in PACKAGES:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        kept = {"python": platform.python_version(), "versions": versions}
        rows = [row._asdict() for row in self.rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({**kept, "rows": rows}, indent=1))

    def _shown(self, item: pytest.Item) -> Iterator[tuple[str, str, str, str]]:
        """Way, service, operation and witness of a test."""
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        module = item.path.name
        mark = item.get_closest_marker("witness")
        if mark is not None and mark.kwargs:
            by = mark.kwargs["by"]
            way = DIFFERENTIAL if by == "differential" else SERVER
            yield way, mark.kwargs["service"], mark.kwargs["operation"], by
        elif module == "test_s3_servers.py":
            yield SERVER, "s3_kit", "object", _STORES[parameters["at"]]
        elif module == "test_every_operation.py" and "operation" in parameters:
            yield EMULATOR, parameters["service"], parameters["operation"], "the client"
        elif "sdk" in item.name or module == "test_s3.py":
            yield from self._seen_by_emulator(item, parameters)
        elif item.path.parent.name == "backends":
            for service, operation in sorted(self.asked):
                yield OWN, service, operation, "our tests"

    def _seen_by_emulator(
        self, item: pytest.Item, parameters: dict[str, Any]
    ) -> Iterator[tuple[str, str, str, str]]:
        emulator = getattr(item, "funcargs", {}).get("emulator")
        word = item.name.removeprefix("test_").partition("_sdk")[0]
        sdk = "aiobotocore" if item.path.name == "test_s3.py" else _SDK_OF.get(word, word)
        if pair := parameters.get("pair"):
            sdk = pair.sdk
        visits = emulator.records if emulator else []
        seen = {(visit.service, operation_at(visit.path)) for visit in visits if visit.status == 200}
        for service, operation in sorted(seen):
            if operation:
                yield SDK, service, operation, sdk


def operation_at(path: str) -> str:
    """What is asked at one of the emulator's paths; empty if no operation is."""
    for pattern, operation in _ROUTES:
        if found := pattern.search(path.partition("?")[0]):
            return found.expand(operation)
    return ""


def listen(collector: Collector) -> None:
    """Have every backend tell what it is asked to decode or encode."""

    def told(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(self: Any, request: Request, *rest: Any) -> Any:
            action = getattr(request, "action", "") if request.operation == "native" else ""
            answer = function(self, request, *rest)
            collector.asked.add((self.name, f"{request.operation} {action}".strip()))
            return answer

        return wrapper

    for kind in {type(get_backend(name)) for name in known_backends()}:
        for method in ("encode", "decode", "stream"):
            if method in vars(kind):
                setattr(kind, method, told(method, vars(kind)[method]))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that turns this on."""
    parser.addoption("--witness-results", help="where to write what witnesses saw, as JSON (asyncapi)")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to keep rows."""
    if path := config.getoption("--witness-results"):
        collector = Collector(Path(path))
        listen(collector)
        config.pluginmanager.register(collector)
