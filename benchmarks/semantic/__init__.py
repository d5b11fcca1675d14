"""The semantic cache, measured: how often it is wrong, how much it finds, how long a lookup takes.

    python -m benchmarks.semantic --embed openai:minilm --base-url http://127.0.0.1:18901
    python -m benchmarks.semantic.index --rows 1000 100000 --only numpy usearch

The first needs a service with an embedding model, and ASYNCAPI_DATA for the sets that are not in this
repository; without it only the questions written for this benchmark are asked. Vectors are kept in a file
(``--vectors``), so that a second run takes seconds.
"""
