"""structlog events: quiet until configured, each at its level, with the caller's context, no secrets."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

import asyncapi
from asyncapi._core.stages import STAGES
from asyncapi.telemetry.log import LogHook, fields
from asyncapi.testing import ScriptedTransport, reply
from asyncapi.types import events

pytestmark = pytest.mark.virtual_time

SECRET = "sk-planted-secret"


def client(script: list[Any], **settings: Any) -> asyncapi.Client:
    endpoint = asyncapi.Endpoint("openai", base_url="http://x", keys=(SECRET, "sk-other"))
    return asyncapi.Client([endpoint], transport=ScriptedTransport(script), **settings)


async def test_quiet_until_logging_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that configures nothing sees nothing, warnings included."""
    async with client([reply(status=401), reply("hi")]) as c:
        await c.chat("openai:m", "q")

    assert capsys.readouterr() == ("", "")


async def test_finished_calls_are_info_and_what_needs_an_eye_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """INFO shows one line a call; a parked key is a warning."""
    with caplog.at_level(logging.INFO, logger="asyncapi"):
        async with client([reply(status=401), reply("hi")]) as c:
            await c.chat("openai:m", "q", request_id="mine")

    seen = {(record.levelname, record.message) for record in caplog.records}
    assert ("WARNING", "asyncapi.key_parked") in seen
    assert ("INFO", "asyncapi.call_finished") in seen
    assert {level for level, _ in seen} == {"INFO", "WARNING"}
    finished = next(r for r in caplog.records if r.message == "asyncapi.call_finished")
    assert finished.__dict__["request_id"] == "mine"
    assert finished.__dict__["outcome"] == "ok"


async def test_debug_shows_every_station(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG a call's way can be read station by station."""
    with caplog.at_level(logging.DEBUG, logger="asyncapi"):
        async with client([reply("hi")]) as c:
            await c.chat("openai:m", "q")

    names = [record.message for record in caplog.records]
    assert names == [
        "asyncapi.limit_granted",
        "asyncapi.transport_sent",
        "asyncapi.verdict_given",
        "asyncapi.call_finished",
    ]


async def test_context_of_the_caller_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """What was bound with contextvars is in the events of the caller's own calls."""
    with caplog.at_level(logging.INFO, logger="asyncapi"):
        async with client([reply("hi")]) as c:
            with structlog.contextvars.bound_contextvars(user="ada"):
                await c.chat("openai:m", "q")

    assert caplog.records[0].__dict__["user"] == "ada"


async def test_own_structlog_logger_gets_the_events() -> None:
    """Programs that use structlog alone hand in their logger."""
    with capture_logs() as logs:
        async with client([reply("hi")], log=structlog.get_logger()) as c:
            await c.chat("openai:m", "q")

    assert [log["event"] for log in logs] == ["asyncapi.call_finished"]
    assert logs[0]["input_tokens"] is not None


async def test_no_event_holds_a_secret_or_a_text(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor prompt or answer, at any level."""
    with caplog.at_level(logging.DEBUG, logger="asyncapi"):
        async with client([reply(status=401), reply(status=500), reply("the answer")]) as c:
            await c.chat("openai:m", "the question")

    everything = repr([record.__dict__ for record in caplog.records])
    assert SECRET not in everything
    assert "the question" not in everything
    assert "the answer" not in everything


def test_fields_leave_out_what_is_empty() -> None:
    """Usage is spread out, empty fields are gone."""
    event = events.BreakerChanged(endpoint="e", old="closed", new="open", reason="r")

    assert fields(event) == {"endpoint": "e", "old": "closed", "new": "open", "reason": "r"}
    assert LogHook(structlog.get_logger(), detail=True).detail


@pytest.mark.parametrize("name", [n for n in events.__all__ if n != "Event"])
def test_every_event_is_named_after_its_station(name: str) -> None:
    """The first word of an event's name is a station, or the call as a whole."""
    word = getattr(events, name).name.removeprefix("asyncapi.").split("_")[0]

    assert word in {*STAGES, "call", "retry"}
