"""Precision and recall of each threshold: the cosine alone, with the guard, with vectors of md5 digests."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asyncapi import Client, Endpoint
from asyncapi.caching.calibration import Calibration, Pair, measure
from asyncapi.caching.guard import doubt
from benchmarks.machine import machine
from benchmarks.semantic import sets
from benchmarks.semantic.plot import panels

_STEPS = [round(0.5 + 0.01 * step, 2) for step in range(50)]
_SHOWN = (0.7, 0.8, 0.85, 0.9, 0.95)
_NEAREST = 8
_PICTURE = Path(__file__).parents[2] / "docs" / "benchmarks" / "semantic.svg"


# --- vectors ------------------------------------------------------------------------------------


async def vectors_of(texts: Sequence[str], model: str, base_url: str, kept: Path) -> dict[str, Any]:
    """A vector of length 1 for each text, asked for through the client; those in the file are not again."""
    known = _known(kept)
    missing = sorted({text for text in texts if text not in known}, key=len)
    if missing:
        name, _, _ = model.partition(":")
        endpoint = Endpoint(name, base_url=base_url, keys=("none",), timeout=600)
        async with Client([endpoint], log=False) as client:
            for start in range(0, len(missing), 256):
                some = missing[start : start + 256]
                found = (await client.embed(model, some)).numpy()
                known.update(zip(some, found / np.linalg.norm(found, axis=1, keepdims=True), strict=True))
                print(f"\r{start + len(some):,} of {len(missing):,} embedded", end="", file=sys.stderr)
        np.savez(kept, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    return known


def _known(kept: Path) -> dict[str, Any]:
    if not kept.exists():
        return {}
    with np.load(kept) as file:
        return dict(zip(file["texts"].tolist(), file["vectors"], strict=True))


def digests_of(texts: Sequence[str]) -> dict[str, Any]:
    """Vectors that are no embeddings: the sixteen bytes of a text's md5, as shares of 255."""
    found = {}
    for text in texts:
        values = np.frombuffer(hashlib.md5(text.encode()).digest(), np.uint8).astype(np.float32) / 255
        found[text] = values / np.linalg.norm(values)
    return found


# --- what is measured -----------------------------------------------------------------------------


def by_pairs(pairs: Sequence[Pair], vectors: dict[str, Any], *, guard: bool) -> Calibration:
    """The curve over pairs: what is shared of those that may be, and of those that may not."""
    seen = []
    for pair in pairs:
        shared = not guard or not doubt(pair.asked, pair.cached)
        seen.append((float(vectors[pair.asked] @ vectors[pair.cached]) if shared else -1.0, pair.same))
    return measure(seen, _STEPS)


def by_lookups(
    kept: Sequence[tuple[str, str]], asked: Sequence[tuple[str, str]], vectors: dict[str, Any], *, guard: bool
) -> tuple[list[tuple[float, bool]], list[tuple[float, str, str]]]:
    """For each text asked: the cosine of its hit among all that is kept, and whether the label fits.

    As the cache does it: the eight nearest in turn, the first that the guard lets pass. Then the hits whose
    label does not fit, to be read by a person.
    """
    matrix = np.stack([vectors[text] for text, _ in kept])
    seen, wrong = [], []
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        alike = np.stack([vectors[text] for text, _ in some]) @ matrix.T
        for (text, label), row in zip(some, alike, strict=True):
            near = row.argpartition(-_NEAREST)[-_NEAREST:]
            for place in near[row[near].argsort()[::-1]]:
                other, its_label = kept[place]
                if not guard or not doubt(text, other):
                    seen.append((float(row[place]), label == its_label))
                    if label != its_label:
                        wrong.append((float(row[place]), text, other))
                    break
    return seen, wrong


def row(name: str, curve: Calibration, threshold: float, asked: int = 0) -> str:
    """A line of the table; with ``asked`` the recall is the share of all lookups."""
    point = curve.at(threshold)
    recall = (point.right + point.wrong) / asked if asked else point.recall
    precision = "-" if point.precision is None else f"{point.precision:.2%}"
    return (
        f"| {name} | {threshold:.2f} | {point.right + point.wrong:,} | {point.wrong:,} | {precision} "
        f"| {point.at_least:.1%} | {recall:.1%} |"
    )


HEAD = (
    "| set, vectors, guard | threshold | shared | wrong | precision | at least (95 %) | recall |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def report_pairs(
    title: str, pairs: Sequence[Pair], vectors: dict[str, Any], *, show: bool
) -> dict[str, Calibration]:
    """Print the table of a set of pairs; its curves."""
    digests = digests_of([text for pair in pairs for text in (pair.asked, pair.cached)])
    curves = {
        "md5 digest": by_pairs(pairs, digests, guard=False),
        "cosine alone": by_pairs(pairs, vectors, guard=False),
        "with the guard": by_pairs(pairs, vectors, guard=True),
    }
    one = curves["cosine alone"]
    print(f"\n{title}: {one.alike:,} pairs alike, {one.apart:,} apart\n\n{HEAD}")
    for name, curve in curves.items():
        print("\n".join(row(f"{title}, {name}", curve, threshold) for threshold in _SHOWN))
        print(f"<!-- {name}: 99 % or more from {curve.threshold(0.99)} on -->")
    for same, what in ((False, "apart"), (True, "alike")):
        said = Counter(doubt(p.asked, p.cached) or "nothing" for p in pairs if p.same is same)
        print(f"\nthe guard of pairs that are {what}: {dict(said.most_common())}")
    if show:
        for pair in pairs:
            if not pair.same and not doubt(pair.asked, pair.cached):
                cosine = vectors[pair.asked] @ vectors[pair.cached]
                print(f"  let through {cosine:.3f}: {pair.cached!r} -> {pair.asked!r}")
    return curves


def report_lookups(half: int, vectors: dict[str, Any], *, show: bool) -> dict[str, Calibration]:
    """Print the table of the lookups among real questions; its curves."""
    found = sets.banking(half)
    if found is None:
        return {}
    kept, asked = found
    digests = digests_of([text for text, _ in (*kept, *asked)])
    ways = {
        "md5 digest": (digests, False),
        "cosine alone": (vectors, False),
        "with the guard": (vectors, True),
    }
    curves = {}
    print(f"\nbanking77: {len(asked):,} lookups among {len(kept):,} texts\n\n{HEAD}")
    for name, (values, guard) in ways.items():
        seen, wrong = by_lookups(kept, asked, values, guard=guard)
        curves[name] = measure(seen, _STEPS)
        print("\n".join(row(f"banking77, {name}", curves[name], t, len(asked)) for t in _SHOWN))
        if show and guard:
            for cosine, text, other in sorted(wrong, reverse=True):
                print(f"  another label {cosine:.3f}: {other!r} -> {text!r}")
    return curves


def report(vectors: dict[str, Any], half: int, *, show: bool) -> dict[str, dict[str, Calibration]]:
    """Print the tables; the curves by set."""
    given = {"written": sets.written(half), "made": sets.made(half)}
    curves = {name: report_pairs(name, pairs, vectors, show=show) for name, pairs in given.items() if pairs}
    lookups = report_lookups(half, vectors, show=show)
    return {**curves, "banking77": lookups} if lookups else curves


def all_texts(half: int) -> list[str]:
    """Everything that needs a vector."""
    pairs = [*sets.written(half), *(sets.made(half) or [])]
    kept, asked = sets.banking(half) or ([], [])
    return list(
        dict.fromkeys([t for p in pairs for t in (p.asked, p.cached)] + [t for t, _ in (*kept, *asked)])
    )


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.semantic")
    parser.add_argument("--embed", default="openai:minilm", help="endpoint:model of an embedding model")
    parser.add_argument("--base-url", default="http://127.0.0.1:18901")
    parser.add_argument(
        "--vectors", type=Path, default=Path("semantic-vectors.npz"), help="kept between runs"
    )
    parser.add_argument("--half", type=int, choices=(0, 1), default=1, help="0 is to tune on, 1 to report on")
    parser.add_argument("--show", action="store_true", help="the texts that were shared and should not be")
    parser.add_argument("--write", action="store_true", help=f"write {_PICTURE.name}")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    texts = all_texts(arguments.half)
    found = asyncio.run(vectors_of(texts, arguments.embed, arguments.base_url, arguments.vectors))
    about = machine(
        f"python -m benchmarks.semantic --embed {arguments.embed} --half {arguments.half}", "asyncio"
    )
    print("\n".join(f"- {key}: {value}" for key, value in about.items()))
    if sets.data() is None:
        print("- ASYNCAPI_DATA is not set: only the written questions")
    curves = report(found, arguments.half, show=arguments.show)
    print(f"\n{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    if arguments.write:
        _PICTURE.write_text(panels(curves))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
