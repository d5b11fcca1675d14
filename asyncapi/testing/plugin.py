"""The pytest plugin: markers `virtual_time`, `forbid_network`, `allow_network`, and fixture `virtual_clock`.

It is loaded in every pytest run where the package is installed, so it imports the standard library, pytest,
and its two neighbours, which do the same. An async test that is marked runs on the virtual loop even where
pytest-asyncio or another plugin wants it: its item gets back pytest's own ``setup`` and ``runtest``, and is
called here. Async fixtures stay with pytest-asyncio and its real loop; a fixture for virtual time is a plain
one that calls ``virtual_clock.run(...)``.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from asyncapi.testing.network import forbid_network
from asyncapi.testing.virtual_time import VirtualTime, virtual_time

_FIXTURE = "virtual_clock"
_MARKERS = (
    "virtual_time(seed=None, shuffle=0.0, start=0.0, step_limit=...): run this async test in virtual time",
    "forbid_network(allow_loopback=True): fail this test if it reaches the network",
    "allow_network: exempt this test from --forbid-network",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--forbid-network`` and its ini twin."""
    text = "fail every test that reaches the network beyond the loopback interface (asyncapi)"
    parser.getgroup("asyncapi").addoption("--forbid-network", action="store_true", default=False, help=text)
    parser.addini("forbid_network", text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> Iterator[VirtualTime]:
    """The runner of this test's virtual time: `elapsed`, `pending_tasks()`, `loop_errors`, `run()`."""
    with virtual_time(**_options(request.node)) as clock:
        yield clock


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Forbid the network around setup, call and teardown of a test that asks for it."""
    with _network_of(item):
        yield


def pytest_itemcollected(item: pytest.Item) -> None:
    """Take the async tests that run in virtual time away from whoever else runs async tests."""
    if not isinstance(item, pytest.Function) or not _is_virtual(item):
        return
    vars(item).update(
        setup=functools.partial(pytest.Function.setup, item),
        runtest=functools.partial(pytest.Function.runtest, item),
    )
    if not _is_given(item) and _FIXTURE not in item.fixturenames:
        item.fixturenames.append(_FIXTURE)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Call an async test in virtual time."""
    if not _is_virtual(pyfuncitem):
        return None
    test: Any = pyfuncitem.obj
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if _is_given(pyfuncitem):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                test.hypothesis, "inner_test", _each_example(test.hypothesis.inner_test, pyfuncitem)
            )
            test(**arguments)
        return True
    clock = pyfuncitem.funcargs[_FIXTURE]
    assert isinstance(clock, VirtualTime)
    clock.run(test(**arguments))
    clock.raise_loop_errors()
    return True


def _options(node: pytest.Item) -> dict[str, Any]:
    marker = node.get_closest_marker("virtual_time")
    if marker is None:
        return {}
    if len(marker.args) > 1:
        raise pytest.UsageError(f"{node.nodeid}: virtual_time takes a seed, and the rest by name")
    return {**dict(zip(("seed",), marker.args, strict=False)), **marker.kwargs}


def _is_given(item: pytest.Function) -> bool:
    return hasattr(item.obj, "hypothesis")


def _is_virtual(item: pytest.Function) -> bool:
    wanted = item.get_closest_marker("virtual_time") is not None or _FIXTURE in item.fixturenames
    test = item.obj.hypothesis.inner_test if _is_given(item) else item.obj
    return wanted and inspect.iscoroutinefunction(test)


def _each_example(
    test: Callable[..., Coroutine[Any, Any, None]], item: pytest.Function
) -> Callable[..., None]:
    """Each example of a hypothesis test has a loop and a clock of its own."""

    @functools.wraps(test)
    def run(*args: Any, **arguments: Any) -> None:
        with virtual_time(**_options(item)) as clock:
            clock.run(test(*args, **arguments))

    return run


def _network_of(item: pytest.Item) -> contextlib.AbstractContextManager[object]:
    marker = item.get_closest_marker("forbid_network")
    if marker is not None:
        return forbid_network(**marker.kwargs)
    everywhere = item.config.getoption("--forbid-network") or item.config.getini("forbid_network")
    exempt = item.get_closest_marker("allow_network") is not None
    return forbid_network() if everywhere and not exempt else contextlib.nullcontext()
