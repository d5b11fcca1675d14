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
