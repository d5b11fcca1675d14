"""A service of one's own: a dialect is one class."""

import aiohttp

from asyncapi.emulator import Dialect, Emulator, Faults, Timing
from asyncapi.emulator.exchange import Ask, Reply, json_reply

from .wire import Wire


class Echo(Dialect):
    """Says what it is told; all else is inherited."""

    name = "echo"
    base_path = "/echo"

    def __init__(self) -> None:
        super().__init__()
        self.routes = {("POST", "echo/say"): self.say, ("POST", "echo/say/"): self.say}

    def say(self, ask: Ask) -> Reply:
        """The text and what is left of the path."""
        return json_reply({"said": ask.body["text"], "tail": ask.tail})


async def test_a_dialect_of_ones_own_needs_routes_and_no_more() -> None:
    """Routes by prefix, default refusals, faults and base URL come with the class."""
    async with (
        Emulator(timing=Timing.instant(), services=[Echo()], faults=Faults.script(["503", None])) as emulator,
        aiohttp.ClientSession() as session,
    ):
        wire = Wire(session, emulator.url)
        down = await wire.post("/echo/say", {"text": "Hi"})
        said = await wire.post("/echo/say/it/twice", {"text": "Hi"})
        lost = await wire.post("/echo/nowhere", {})

        assert emulator.base_urls == {"echo": emulator.url + "/echo"}
    assert (down.status, down.json) == (503, {"error": "The service is temporarily unavailable."})
    assert said.json == {"said": "Hi", "tail": "it/twice"}
    assert lost.status == 404


async def test_a_dialect_without_words_for_stream_errors_just_ends() -> None:
    """The default is no frame and no header."""
    echo = Echo()

    assert echo.stream_error() == []
    assert echo.limit_headers({}, 0.0) == {}
    assert echo.id_headers(1) == {}
