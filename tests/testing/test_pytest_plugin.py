"""The plugin in a pytest run of its own: markers, fixture, options, in pytest-asyncio's both modes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.testing import VirtualTime
from asyncapi.testing.virtual_loop import VirtualLoop

ASYNCIO_INI = "asyncio_default_fixture_loop_scope = function\n"  # unset, it is a warning and so an error


def pytest_run(folder: Path, source: str, *arguments: str, ini: str = "") -> tuple[dict[str, int], str]:
    """Outcomes by kind, and the output, of a strict run over one test file."""
    (folder / "test_it.py").write_text(textwrap.dedent(source))
    settings = (
        "[pytest]\naddopts = --strict-markers --strict-config -p no:cacheprovider\nfilterwarnings = error\n"
    )
    (folder / "pytest.ini").write_text(settings + ini)
    command = [sys.executable, "-m", "pytest", "-q", "-ra", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    words = run.stdout.strip().splitlines()[-1].replace(",", "").split()
    counts = {word.rstrip("s"): int(n) for n, word in pairwise(words) if n.isdigit()}
    return counts, run.stdout + run.stderr


VIRTUAL = """
    import asyncio
    import pytest
    from hypothesis import given, strategies as st
    from asyncapi.testing.virtual_loop import VirtualLoop

    def is_virtual():
        return isinstance(asyncio.get_running_loop(), VirtualLoop)

    @pytest.fixture
    def ready(virtual_clock):
        virtual_clock.run(asyncio.sleep(100))
        yield
        virtual_clock.run(asyncio.sleep(100))
        assert 300 < virtual_clock.elapsed < 301

    @pytest.mark.virtual_time
    async def test_plain():
        await asyncio.sleep(3600)
        assert is_virtual()

    @pytest.mark.virtual_time(seed=3, shuffle=0.3)
    @pytest.mark.parametrize("delay", [1, 2])
    async def test_options(virtual_clock, delay):
        await asyncio.sleep(delay)
        assert virtual_clock.seed == 3 and virtual_clock.shuffle == 0.3
        assert delay <= virtual_clock.elapsed < delay + 0.1

    @pytest.mark.virtual_time
    @pytest.mark.asyncio
    async def test_marked_twice():
        assert is_virtual()

    async def test_fixture_alone_is_enough(virtual_clock):
        assert is_virtual()

    @pytest.mark.virtual_time
    async def test_fixture_before_and_after(ready):
        await asyncio.sleep(100)

    @pytest.mark.asyncio
    async def test_others_keep_their_loop():
        assert not is_virtual()

    @pytest.mark.virtual_time(5)
    class TestClass:
        async def test_method(self, virtual_clock):
            assert is_virtual() and virtual_clock.seed == 5

        def test_plain_function(self, virtual_clock):
            virtual_clock.run(asyncio.sleep(10))

    @pytest.mark.virtual_time
    @given(st.integers(0, 9))
    async def test_hypothesis(number):
        assert asyncio.get_running_loop().time() == 0
        await asyncio.sleep(number)
        assert is_virtual()

    @pytest.mark.virtual_time
    async def test_fails_by_assertion():
        assert 1 == 2

    @pytest.mark.virtual_time
    async def test_fails_by_deadlock():
        await asyncio.Event().wait()

    @pytest.mark.virtual_time
    async def test_fails_by_a_lost_error():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    @pytest.mark.virtual_time
    @given(st.integers(0, 9))
    async def test_fails_by_example(number):
        assert number < 5
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_marked_tests_run_in_virtual_time(tmp_path: Path, mode: str) -> None:
    """In both modes of pytest-asyncio the marked tests get the virtual loop, and only those."""
    counts, output = pytest_run(tmp_path, VIRTUAL, ini=f"{ASYNCIO_INI}asyncio_mode = {mode}\n")

    assert counts == {"passed": 10, "failed": 4}, output
    assert "FAILED test_it.py::test_fails_by_deadlock" in output
    assert "DeadlockError" in output
    assert "UnhandledLoopError" in output


@pytest.mark.slow
def test_marked_tests_run_without_pytest_asyncio(tmp_path: Path) -> None:
    """The plugin stands alone, and a wrong marker is told."""
    source = """
        import asyncio
        import pytest

        @pytest.mark.virtual_time
        async def test_plain():
            await asyncio.sleep(3600)

        @pytest.mark.virtual_time(3, 0.5)
        async def test_wrong():
            pass
    """
    counts, output = pytest_run(tmp_path, source, "-p", "no:asyncio")

    assert counts == {"passed": 1, "error": 1}, output
    assert "takes a seed, and the rest by name" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "ini", "failed"),
    [((), "", 1), (("--forbid-network",), "", 3), ((), "forbid_network = true\n", 3)],
    ids=["off", "option", "ini"],
)
def test_network_is_forbidden_by_option(
    tmp_path: Path, arguments: tuple[str, ...], ini: str, failed: int
) -> None:
    """`--forbid-network` and its ini twin guard tests and their fixtures; a marker exempts one."""
    source = """
        import socket
        import pytest

        @pytest.fixture
        def resolved():
            return try_it()

        def try_it():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("192.0.2.1", 9))  # a datagram socket: sends nothing, can't fail

        def test_call():
            try_it()

        def test_fixture(resolved):
            pass

        @pytest.mark.allow_network
        def test_exempt():
            try_it()

        @pytest.mark.forbid_network
        def test_marked():
            try_it()
    """
    counts, output = pytest_run(tmp_path, source, *arguments, ini=ASYNCIO_INI + ini)

    assert counts["passed"] == 4 - failed, output
    assert counts.get("failed", 0) + counts.get("error", 0) == failed


@pytest.mark.slow
def test_plugin_imports_nothing_heavy() -> None:
    """What every pytest run of every user pays for is the standard library, pytest and four modules."""
    code = (
        "import sys, asyncapi; before = set(sys.modules); import asyncapi.testing.plugin; "
        "print(sorted(name for name in set(sys.modules) - before if name.split('.')[0] in "
        "('asyncapi', 'aiohttp', 'uvloop', 'hypothesis', 'orjson')))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert output.strip() == str(
        [
            "asyncapi.testing",
            "asyncapi.testing.network",
            "asyncapi.testing.plugin",
            "asyncapi.testing.virtual_loop",
            "asyncapi.testing.virtual_time",
        ]
    )


# -- the same in this very run ------------------------------------------------------------------------------


@pytest.fixture
def warmed(virtual_clock: VirtualTime) -> Iterator[float]:
    virtual_clock.run(asyncio.sleep(50))
    yield virtual_clock.now
    virtual_clock.run(asyncio.sleep(50))
    assert 100 < virtual_clock.elapsed < 101


async def test_fixture_shares_the_clock(warmed: float) -> None:
    """A plain fixture sets things up on the loop on which the test then runs."""
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
    assert 50 < warmed < 51


@pytest.mark.virtual_time(2, shuffle=0.5)
@given(st.integers(1, 1000))
async def test_each_example_starts_at_zero(seconds: int) -> None:
    """A property gets a fresh loop and clock for every example."""
    loop = asyncio.get_running_loop()
    assert loop.time() == 0
    await asyncio.sleep(seconds)
    assert loop.time() == pytest.approx(seconds, abs=1e-3)


@pytest.mark.virtual_time(9)
def test_plain_function_drives_the_clock(virtual_clock: VirtualTime) -> None:
    """A test that is not async calls run itself, as often as it likes."""
    for _ in range(3):
        virtual_clock.run(asyncio.sleep(10))

    assert virtual_clock.seed == 9
    assert 30 < virtual_clock.elapsed < 31


@pytest.mark.allow_network
def test_exempt_marker_is_registered() -> None:
    """`allow_network` is a known marker also where nothing is forbidden."""
