"""llama.cpp's own HTTP server, from its wheel: llama_server.py MODEL PORT chat|embed|rank."""

# mypy: ignore-errors

import signal
import sys
import threading

import xllamacpp

model, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pooling = xllamacpp.llama_pooling_type
settings = xllamacpp.CommonParams()
settings.model.path = model
settings.hostnames = ["127.0.0.1"]
settings.port = port
settings.n_ctx, settings.n_parallel = (8192, 8) if kind == "chat" else (512, 1)
settings.n_batch = settings.n_ubatch = 512
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
settings.n_threads_http = 8
settings.warmup = settings.fit_params = False
settings.use_jinja = settings.embedding = True
settings.pooling_type = pooling.LLAMA_POOLING_TYPE_RANK if kind == "rank" else pooling.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(settings)
stopped = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stopped.set())
stopped.wait()
