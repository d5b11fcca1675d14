"""Everything that is checked, as sessions: ``nox -l`` lists them, ``nox -s tests`` runs one.

Each session installs what it needs into an environment of its own, with plain pip.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "imports", "tests", "docs"]

ROOT = Path(__file__).parent
DEV = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["dev"]
SDKS = ("anthropic", "google-genai", "groq", "huggingface_hub", "ollama", "openai", "text-generation")
#: The SDKs of the table of witnesses, as they were when it was last written.
WITNESSES = (
    "openai==3.54.0",
    "anthropic==2.12.0",
    "google-genai==3.4.0",
    "groq==1.7.0",
    "ollama==0.6.3",
    "huggingface_hub==2.4.0",
    "kserve==0.21.0",
    "tritonclient[http]==2.73.0",
    "ovmsclient==2023.1",
)
#: Servers that run together, each started by its script of tests/witness.
SERVERS = (("llama", "ollama_proxy"), ("mlserver",), ("kserve",), ("opea",), ("moto", "seaweed"))
#: Servers that take gigabytes, or show little more than the others.
MORE_SERVERS = (("rclone",), ("vllm",), ("transformers",), ("infinity",))
CODE = ("asyncapi", "tests", "docs", "noxfile.py", "benchmarks", "examples")


def _tool(name: str) -> str:
    """A tool as the ``dev`` extra asks for it, so that its version stands in one place."""
    return next(requirement for requirement in DEV if requirement.startswith(name))


def _others() -> list[str]:
    """Further Pythons that start (a version manager's stub may be there without its Python)."""
    found = []
    for version in ("3.11", "3.12", "3.13"):
        path = shutil.which(f"python{version}")
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            found.append(version)
    return found


@nox.session
def tests(session: nox.Session) -> None:
    """The whole test suite with coverage of asyncapi/, branches included."""
    session.install("-q", "-e", ".[dev,uvloop]")
    # Measured from the start of every process: the package's pytest plugin is imported before any
    # option of pytest is read, and pytest-xdist's workers are processes of their own.
    config = {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")}
    session.run("coverage", "erase")
    try:
        session.run("python", "-m", "pytest", "-n", "auto", *session.posargs, env=config)
    finally:
        session.run("coverage", "combine", "--quiet")
        session.run("coverage", "report")


@nox.session
def sdks(session: nox.Session) -> None:
    """The services' own SDKs as witnesses: they must understand the emulator."""
    session.install("-q", "-e", ".[dev]", *SDKS)
    session.run("python", "-m", "pytest", "tests/emulator", "-k", "sdk", *session.posargs)


@nox.session
def witness(session: nox.Session) -> None:
    """What others wrote, SDKs and servers: writes docs/reference/witnesses.md. ``-- ci``: the quick part.

    ``-- all``: servers that take gigabytes too.
    """
    quick = "ci" in session.posargs
    every = SERVERS + MORE_SERVERS if "all" in session.posargs else SERVERS
    session.install("-q", "uv")
    session.run("uv", "pip", "install", "-q", "-e", ".[dev,uvloop]", *WITNESSES)
    # Its metadata wants an older hub than it needs.
    session.run("uv", "pip", "install", "-q", "--no-deps", "text-generation==0.7.0")
    results = Path(session.create_tmp()) / "results"
    shutil.rmtree(results, ignore_errors=True)
    own = [] if quick else ["tests/e2e", "tests/backends"]
    asked = [
        "tests/witness/test_differential.py",
        "tests/witness/test_sdks.py",
        "tests/emulator",
        "-k",
        "not emulator or sdk or test_s3",
        "-m",
        "not slow",
    ]
    _collect(session, results / "sdks.json", [], [*asked, *own])
    for names in SERVERS[:1] if quick else every:
        scripts = [f"tests/witness/{name}.sh" for name in names]
        servers = ["tests/witness/test_servers.py", "tests/witness/test_s3_servers.py"]
        _collect(session, results / f"{names[0]}.json", scripts, servers)
    if not quick:
        arguments = ["--", "all"] if "all" in session.posargs else []
        session.run("python", "-m", "tests.witness.render", str(results), *arguments)


def _collect(session: nox.Session, results: Path, scripts: list[str], tests: list[str]) -> None:
    """Run tests inside of the scripts, and keep what they say; failures are in the table, and told there."""
    keep = ["-p", "tests.witness.collecting", "--witness-results", str(results)]
    command = [*scripts, "python", "-m", "pytest", "-q", "--no-header", "-r", "fE", *keep, *tests]
    session.run(*command, external=True, success_codes=[0] if "ci" in session.posargs else [0, 1])


@nox.session
def fuzz(session: nox.Session) -> None:
    """Damage 100,000 answers of every dialect; ``-- --count 1000 --dialect claude`` for less."""
    session.install("-q", "-e", ".[dev]")
    session.run("python", "-m", "tests.witness.fuzz", *session.posargs)


@nox.session
def simulate(session: nox.Session) -> None:
    """The core in 10,000 random worlds, every invariant checked; ``-- --seeds 200`` for less."""
    session.install("-q", "-e", ".")
    session.run("python", "-m", "asyncapi.testing.simulation", *session.posargs or ["--seeds", "10000"])


@nox.session
def mutants(session: nox.Session) -> None:
    """Deliberate bugs in the core and the policies: fails if tests miss one. ``-- --write``: the table."""
    session.install("-q", "-e", ".[dev]")
    session.run("python", "-m", "tests.mutation", *session.posargs)


@nox.session(python=_others())
def versions(session: nox.Session) -> None:
    """The whole test suite on every Python that is there, without coverage."""
    session.install("-q", "-e", ".[dev,uvloop]")
    session.run("python", "-m", "pytest", "-n", "auto", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and the bans: ruff check, ruff format."""
    session.install("-q", _tool("ruff"))
    code = [path for path in CODE if (ROOT / path).exists()]
    session.run("ruff", "check", *code)
    session.run("ruff", "format", "--check", *code)


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, over the package and its tests."""
    session.install("-q", "-e", ".[dev,uvloop]")
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Imports point down, and the other contracts of pyproject.toml."""
    session.install("-q", _tool("import-linter"))
    session.run("lint-imports", env={"PYTHONPATH": str(ROOT)})


@nox.session
def docs(session: nox.Session) -> None:
    """The reference is what the code says, every code block runs, every link leads somewhere."""
    session.install("-q", "-e", ".[dev,uvloop]")
    session.run("python", "docs/build_reference.py", *session.posargs or ["--check"])
    session.run("python", "docs/build_plots.py", *session.posargs or ["--check"])
    session.run("python", "docs/build_capacity_plot.py", *session.posargs or ["--check"])
    session.run("python", "-m", "pytest", "tests/docs")


@nox.session
def demo(session: nox.Session) -> None:
    """The tour on the emulator: no key, no network."""
    session.install("-q", ".")
    session.run("asyncapi", "demo", *session.posargs)


@nox.session
def picture(session: nox.Session) -> None:
    """Take the README's picture of the demo."""
    session.install("-q", ".", "pyte")
    session.run("python", "docs/build_demo_picture.py")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks; the quick ones unless arguments say otherwise."""
    if not (ROOT / "benchmarks" / "__main__.py").exists():
        session.skip("there are no benchmarks here")
    session.install("-q", "-e", ".[dev,uvloop]")
    session.run("python", "-m", "benchmarks", *session.posargs or ["--quick"])
