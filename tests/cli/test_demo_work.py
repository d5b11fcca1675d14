"""What the demo asks: every verb is done by every service that has it, and wrong answers are seen."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from asyncapi.abc import ServiceBackend
from asyncapi.backends import get_backend, known_backends
from asyncapi.cli.demo.errands import ERRANDS, Errand, Task
from asyncapi.cli.demo.scenes import ROUTES, demo_endpoints
from asyncapi.cli.demo.work import Ledger, Work
from asyncapi.client import Client
from asyncapi.emulator import Emulator, Timing

SERVICES = {name: cast(ServiceBackend, get_backend(name)).service.operations for name in known_backends()}
PAIRS = [(name, e) for e in ERRANDS for name, offered in SERVICES.items() if e.operation in offered]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """One that answers at once."""
    async with Emulator(3, timing=Timing.instant()) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[Client]:
    """The demo's, of all services."""
    async with Client(demo_endpoints(emulator, known_backends()), routes=ROUTES, log=False) as made:
        yield made


@pytest.mark.parametrize(("name", "errand"), PAIRS, ids=[f"{e.operation}-{name}" for name, e in PAIRS])
async def test_every_errand_is_checked(client: Client, name: str, errand: Errand) -> None:
    """Texts of three lengths, as one in three must not pass the guards."""
    for text in ("a text", "a text.", "a text.."):
        response, right = await errand.do(Task(client, name, 3, text, ("one text", "two", "three"), {}))

        assert right
        assert response.served.attempts == 1


async def test_a_wrong_answer_is_seen(client: Client) -> None:
    """Here a vector of another seed."""
    embed = next(errand for errand in ERRANDS if errand.operation == "embed")

    assert not (await embed.do(Task(client, "openai", 4, "a text", (), {})))[1]


async def test_the_whole_life_of_an_object(client: Client, emulator: Emulator) -> None:
    """Put, listed, got, deleted, and gone: five calls, all of them right."""
    work = Work(client, {}, 3)
    await work._objects("s3_kit")

    assert (work.ledger.asked["s3_kit"], work.ledger.answered["s3_kit"]) == (5, 5)
    assert (work.ledger.checked, work.ledger.right) == (5, 5)
    assert emulator.counts().received == 5


async def test_a_life_that_fails_ends_early(client: Client, emulator: Emulator) -> None:
    """What was never put is not asked for."""
    emulator.revoke("emulated-key-1")
    work = Work(client, {}, 3)
    await work._objects("s3_kit")

    assert (work.ledger.asked["s3_kit"], work.ledger.open, work.ledger.checked) == (1, 0, 0)
    assert work.ledger.errors.total() == 1


async def test_a_routed_call_is_counted_with_its_route(client: Client, emulator: Emulator) -> None:
    """Whoever answers it."""
    emulator.script(["503"] * 50, path="/claude/")
    work = Work(client, {}, 3)
    await work._routed()

    assert work.ledger.answered == {"route smart": 1}
    assert work.ledger.right == 1
    assert emulator.counts().by_service["openai"] == 1


def test_a_ledger_begins_empty() -> None:
    """Nothing is open."""
    assert Ledger().open == 0
