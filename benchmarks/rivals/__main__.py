"""``python -m benchmarks.rivals install [NAME...]``: make their environments; ``list`` shows them."""

from __future__ import annotations

import argparse
import subprocess

from benchmarks.rivals import cache_folder, install, known


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("action", choices=["install", "list"])
    parser.add_argument("names", nargs="*", help="some of them instead of all")
    arguments = parser.parse_args()
    rivals = [rival for name, rival in known().items() if not arguments.names or name in arguments.names]
    failed = 0
    print(f"environments are in {cache_folder()}")
    for rival in rivals:
        if arguments.action == "install":
            try:
                install(rival)
            except subprocess.CalledProcessError as error:
                print(f"{rival.name}: {error}")
                failed += 1
        state = "installed" if rival.installed else "not installed"
        print(f"{rival.name:16} {rival.title:26} {' '.join(rival.requirements):34} {state}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
