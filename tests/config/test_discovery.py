"""Which services the environment holds keys or URLs for."""

from __future__ import annotations

from asyncapi.config import Discovery, Endpoint, discover, survey
from asyncapi.types.wire import Service


def test_nothing_set_finds_nothing_and_says_what_to_set(openai: Service, tgi: Service) -> None:
    """One row a service, found or not."""
    assert discover([openai, tgi], {"OPENAI_API_KEY": " "}) == ()
    assert survey([openai, tgi], {}) == (
        Discovery(
            service="openai",
            found=False,
            base_url="https://api.openai.com/v1",
            remedy="set OPENAI_API_KEY or OAI_KEY",
        ),
        Discovery(service="hf_tgi", found=False, remedy="set TGI_URL"),
    )


def test_a_key_finds_a_service_that_needs_one(openai: Service) -> None:
    """The row has names and counts, no values; copies of a key count once."""
    environment = {"OPENAI_API_KEY_1": "sk-a", "OPENAI_API_KEY_2": "sk-a", "OPENAI_BASE_URL": "http://proxy/"}

    assert discover([openai], environment) == (Endpoint("openai"),)
    assert survey([openai], environment) == (
        Discovery(
            service="openai",
            found=True,
            variables=("OPENAI_API_KEY_1", "OPENAI_API_KEY_2", "OPENAI_BASE_URL"),
            base_url="http://proxy",
            keys=1,
        ),
    )


def test_a_url_alone_is_not_enough_where_a_key_is_needed(openai: Service) -> None:
    """Nor a key where the address is not known."""
    homeless = Service(name="mine", operations=frozenset(), key_env=("MINE_KEY",))

    (by_url,) = survey([openai], {"OPENAI_BASE_URL": "http://proxy"})
    (by_key,) = survey([homeless], {"MINE_KEY": "a"})
    (by_nothing,) = survey([Service(name="x", operations=frozenset())], {})

    assert (by_url.found, by_url.remedy) == (False, "set OPENAI_API_KEY or OAI_KEY")
    assert (by_key.found, by_key.remedy) == (False, "set base_url of an Endpoint")
    assert by_nothing.remedy == "set keys of an Endpoint and base_url of an Endpoint"


def test_a_keyless_service_is_found_by_its_url_only(tgi: Service) -> None:
    """A token that serves other things too does not start a service."""
    assert discover([tgi], {"HF_TOKEN": "hf-a"}) == ()
    assert discover([tgi], {"TGI_URL": "http://tgi"}) == (Endpoint("hf_tgi"),)


def test_what_is_wrong_is_said_in_the_row(openai: Service) -> None:
    """Found, so that resolve refuses it, but with its problems named."""
    (row,) = survey([openai], {"OPENAI_API_KEY": "hid den", "OPENAI_BASE_URL": "http://a:hidden@b"})

    assert row.found
    assert row.problem.startswith("keys: the value of OPENAI_API_KEY has a space")
    assert "; OPENAI_BASE_URL: holds credentials" in row.problem
    assert "hid" not in repr(row)
