"""Loops: one client, one loop, and a clear word where that is broken."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings

import pytest

from asyncapi import (
    Client,
    ClientClosedError,
    ConfigError,
    Endpoint,
    UnknownModelError,
    UnsupportedOperationError,
)
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, hang, reply
from asyncapi.types.requests import RerankRequest
from tests.core.worlds import MODEL, caught, client_of, outcomes, spread_calls, start, steady, turns


def test_two_runs_in_a_row_need_two_clients_and_no_more() -> None:
    """litellm#7667: no "bound to a different event loop", no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):

            async def main() -> str:
                async with client_of(ScriptedTransport(default=reply("fine")), limit=2) as client:
                    return "".join([a.text for a in await asyncio.gather(*spread_calls(client, 5))])

            assert asyncio.run(main()) == "fine" * 5
        gc.collect()


def test_a_client_of_another_loop_says_so() -> None:
    """Open or closed: what was wrong, and what to do."""
    clients: list[Client] = []

    async def first(*, close: bool) -> None:
        client = client_of(ScriptedTransport(default=reply("fine")))
        clients.append(client)
        await client.chat(MODEL, "x")
        if close:
            await client.aclose()

    async def second(client: Client, kind: type[Exception]) -> None:
        await caught(kind, client.chat(MODEL, "x"))
        with pytest.raises(kind):
            client.keys("groq")
        await client.aclose()

    asyncio.run(first(close=False))
    with pytest.raises(ConfigError, match="another event loop"):
        asyncio.run(_chat(clients[0]))
    asyncio.run(second(clients[0], ConfigError))
    asyncio.run(first(close=True))
    asyncio.run(second(clients[1], ClientClosedError))


async def _chat(client: Client) -> None:
    await client.chat(MODEL, "x")


def test_a_client_whose_loop_ended_with_calls_under_way_can_be_closed_in_another() -> None:
    """asyncio.run cancelled everything: there is nothing left that could break."""
    made: list[Client] = []

    async def careless() -> None:
        client = client_of(ScriptedTransport(default=hang()), limit=1)
        made.append(client)
        _ = start(*spread_calls(client, 4), client.embed(MODEL, "1"))
        await asyncio.sleep(0.01)

    asyncio.run(careless())

    async def later() -> None:
        await made[0].aclose()

    asyncio.run(later())


def test_threads_with_loops_of_their_own_have_clients_of_their_own() -> None:
    """Four threads, four clients, no lock and no mix-up."""
    answers: list[int] = []

    async def main() -> None:
        async with client_of(ScriptedTransport(default=reply("fine")), limit=2) as client:
            answers.append(len(await asyncio.gather(*spread_calls(client, 20))))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [20] * 4


def test_a_client_may_be_made_outside_a_loop() -> None:
    """Nothing is bound before the first use."""
    client = client_of(steady())
    with virtual_time() as time:
        time.run(_chat(client))


def test_a_stream_is_not_made_outside_a_loop() -> None:
    """There is no clock for its deadline yet."""
    client = client_of(steady())
    with pytest.raises(RuntimeError, match="no running event loop"):
        client.stream(MODEL, "x")


@pytest.mark.virtual_time
async def test_models_name_their_endpoint_and_the_error_says_which_there_are() -> None:
    """No prefix, an unknown one, a near miss."""
    async with client_of(steady()) as client:
        bare = await caught(UnknownModelError, client.chat("gpt-5", "x"))
        near = await caught(UnknownModelError, client.chat("opnai:gpt-5", "x"))
        far = await caught(UnknownModelError, client.chat("zzz:gpt-5", "x"))

    assert "write provider:model, such as openai:gpt-5" in str(bare)
    assert "did you mean 'openai'?" in str(near)
    assert "there are openai" in str(far)


@pytest.mark.virtual_time
async def test_a_backend_finds_its_only_endpoint_and_asks_when_there_are_two() -> None:
    """By the endpoint's name, or by its backend where that is plain."""
    one = Endpoint("openai", name="eu", base_url="https://eu.test/v1", keys=("sk-a",))
    two = Endpoint("openai", name="us", base_url="https://us.test/v1", keys=("sk-b",))
    async with Client([one], transport=steady(), log=False, environment={}) as client:
        assert (await client.chat("openai:m", "x")).served.endpoint == "eu"
        assert (await client.chat("eu:m", "x")).served.endpoint == "eu"
    async with Client([one, two], transport=steady(), log=False, environment={}) as client:
        error = await caught(UnknownModelError, client.chat("openai:m", "x"))
        assert "several endpoints: name one of eu, us" in str(error)
    with pytest.raises(ConfigError, match="two endpoints are called 'eu'"):
        Client([one, one], transport=steady(), environment={})


@pytest.mark.virtual_time
async def test_without_endpoints_every_backend_is_one_with_what_the_environment_holds() -> None:
    """Made when it is first asked for; a missing key is said then, and can be set later."""
    environment: dict[str, str] = {}
    async with Client(transport=steady(), log=False, environment=environment) as client:
        (missing,) = await outcomes([client.chat("openai:m", "x")])
        assert "OPENAI_API_KEY" in str(missing)
        environment["OPENAI_API_KEY"] = "sk-a"
        assert (await client.chat("openai:m", "x")).text == "fine"
        assert client.endpoints() == ("openai",)
        error = await caught(UnknownModelError, client.chat("nobody:m", "x"))
        assert "openai" in str(error)


@pytest.mark.virtual_time
async def test_an_operation_that_the_service_does_not_offer_is_refused_before_anything_is_sent() -> None:
    """OpenAI has no reranking."""
    transport = steady()
    async with client_of(transport) as client:
        request = RerankRequest(model=MODEL, query="q", documents=("a",))
        await caught(UnsupportedOperationError, client.call(request))
        await turns()
    assert transport.total == 0


def test_a_client_from_a_file_has_the_files_endpoints(tmp_path: object) -> None:
    """TOML in, client out."""
    path = f"{tmp_path}/asyncapi.toml"
    with open(path, "w") as file:
        file.write(
            '[endpoints.main]\nbackend = "openai"\nkeys = [{env = "K"}]\nbase_url = "https://a.test/v1"\n'
        )
    client = Client.from_file(path, transport=steady(), log=False, environment={"K": "sk-a"})
    with virtual_time() as time:

        async def main() -> str:
            return (await client.chat("main:m", "x")).served.endpoint

        assert time.run(main()) == "main"


def test_without_a_transport_of_ones_own_the_client_makes_and_closes_http() -> None:
    """One pool for all endpoints, made at the first need."""

    async def main() -> None:
        endpoint = Endpoint("openai", base_url="http://127.0.0.1:9/v1", keys=("sk-a",), timeout=0.5)
        async with Client([endpoint], log=False, environment={}) as client:
            results = await outcomes(spread_calls(client, 2))
            assert all(isinstance(result, Exception) for result in results)
            assert client._runtime._transport_for(client._runtime.endpoint("openai").backend.service)

    asyncio.run(main())
