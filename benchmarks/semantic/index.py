"""How long a lookup takes, and what it finds: numpy's matrix product beside the approximate indexes.

    python -m benchmarks.semantic.index --rows 1000 100000 1000000 --only numpy usearch

Vectors are made: unit vectors around centres, with the spread of real questions (two of one centre have a
cosine of about 0.8), so that neighbours are as near to each other as they are in a cache. Recall is the
share of queries whose true nearest entry is found, among those that have one above 0.85.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_DIMENSIONS = 384
_QUERIES = 200


def vectors(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Entries, and queries each of which is a little way from an entry."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((max(8, rows // 50), _DIMENSIONS), dtype=np.float32)
    entries = np.empty((rows, _DIMENSIONS), np.float32)
    for start in range(0, rows, 50_000):
        some = entries[start : start + 50_000]
        near = centres[chance.integers(len(centres), size=len(some))]
        some[:] = near + 0.5 * chance.standard_normal(some.shape, dtype=np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
    asked = entries[chance.integers(rows, size=_QUERIES)]
    asked = asked + 0.02 * chance.standard_normal(asked.shape, dtype=np.float32)
    return entries, asked / np.linalg.norm(asked, axis=1, keepdims=True)


Search = Callable[[Any], int]


def by_numpy(entries: Any) -> Search:
    """The product of the matrix with the vector."""
    return lambda vector: int(np.argmax(entries @ vector))


def by_cache(entries: Any) -> Search:
    """The semantic cache's own, with keys, texts and what is used last: all in one group."""
    from asyncapi.caching.neighbours import Neighbours

    index = Neighbours(len(entries))
    for number, vector in enumerate(entries):
        index.add(b"group", number.to_bytes(8), "a text", vector)

    def search(vector: Any) -> int:
        found = index.nearest(b"group", vector, 0.85)
        return int.from_bytes(found[0].key) if found else -1

    return search


def by_usearch(entries: Any, kind: str = "f32") -> Search:
    """Unum's HNSW."""
    from usearch.index import Index

    index = Index(ndim=_DIMENSIONS, metric="ip", dtype=kind)
    index.add(np.arange(len(entries)), entries)
    return lambda vector: int(index.search(vector, 1).keys[0])


def by_hnswlib(entries: Any) -> Search:
    """The authors' HNSW."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=_DIMENSIONS)
    index.init_index(max_elements=len(entries), ef_construction=128, M=16)
    index.add_items(entries)
    index.set_ef(64)
    return lambda vector: int(index.knn_query(vector, 1)[0][0][0])


def by_faiss(entries: Any, hnsw: bool = True) -> Search:
    """Meta's library: its HNSW, or every vector."""
    import faiss

    index = faiss.IndexFlatIP(_DIMENSIONS)
    if hnsw:
        index = faiss.IndexHNSWFlat(_DIMENSIONS, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 128, 64
    index.add(entries)
    return lambda vector: int(index.search(vector[None], 1)[1][0][0])


KINDS: dict[str, tuple[str, Callable[[Any], Search]]] = {
    "numpy": ("numpy", by_numpy),
    "cache": ("numpy", by_cache),
    "faiss-flat": ("faiss-cpu", lambda entries: by_faiss(entries, hnsw=False)),
    "usearch": ("usearch", by_usearch),
    "usearch-i8": ("usearch", lambda entries: by_usearch(entries, "i8")),
    "hnswlib": ("hnswlib", by_hnswlib),
    "faiss-hnsw": ("faiss-cpu", by_faiss),
}


def measured(name: str, rows: int) -> Iterator[str]:
    """One line of the table."""
    package, build = KINDS[name]
    entries, asked = vectors(rows)
    best = [int(np.argmax(entries @ vector)) for vector in asked]
    before = _resident_mb()
    begun = time.perf_counter()
    search = build(entries)
    built = time.perf_counter() - begun
    grown = _resident_mb() - before
    times, right = [], 0
    for vector, wanted in zip(asked, best, strict=True):
        begun = time.perf_counter()
        found = search(vector)
        times.append(time.perf_counter() - begun)
        right += found == wanted
    times.sort()
    version = importlib.metadata.version(package)
    middle, late = statistics.median(times) * 1e3, times[int(0.99 * len(times))] * 1e3
    yield (
        f"| {name} {version} | {rows:,} | {middle:.3f} | {late:.3f}"
        f" | {right / len(asked):.3f} | {built:.1f} | {grown:.0f} |"
    )


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.semantic.index")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=["numpy"])
    arguments = parser.parse_args()
    print("| index | entries | p50 ms | p99 ms | recall | build s | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for rows in arguments.rows:
        for name in arguments.only:
            for line in measured(name, rows):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
