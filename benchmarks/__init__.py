"""Benchmarks: CPU per call as a ratio to bare aiohttp in the same run, so that noise cancels out.

    python -m benchmarks --quick            a minute and a half; nothing is written
    python -m benchmarks                    all but the rivals; results go to docs/benchmarks/
    python -m benchmarks.rivals install     environments for the rivals
    python -m benchmarks --rivals           with them
    python -m benchmarks --only plain tls   some suites
    python -m benchmarks --uvloop           the same on uvloop

Every figure is the median of interleaved rounds, with its spread. Servers run in processes of their
own, on the other core where there is one; how busy they were is shown beside each figure.
"""
