"""Benchmarks: CPU per call as a ratio to bare aiohttp in the same run, so that noise cancels out.

    python -m benchmarks --quick        a minute
    python -m benchmarks                all of it; results go to docs/benchmarks/

Every figure is the median of interleaved rounds with its spread. The server runs in a process of its
own, on the other core where there is one.
"""
