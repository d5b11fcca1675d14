"""Pretend AI services for demos, benchmarks and tests.

They speak the dialects of OpenAI, Groq, vLLM, OPEA, Claude, Gemini, Ollama, Hugging Face TEI and TGI,
OpenVINO Model Server, the bespoke LLVM server and S3 as the real ones do, with rate limits, service times and
faults, and keep a record of all that they receive. Nothing here is shared with the client that it checks.

Words that steer the answers:

- a user text with ``tool`` (``tools``) gets one tool call (two) when the request declares tools;
- a model whose name begins with ``missing`` does not exist; any other is served, but OVMS computes only with
  ``double``, ``add``, ``echo`` and ``fixed``;
- a text with ``<poison>`` fails the whole embedding or rerank request that it came in, and TGI's generation
  (424); it fails alone in a batch of LLVM and among keys that S3 shall delete; S3 fails to copy it in a 200;
- a text with ``<unsafe>`` is flagged by moderation, blocked by Gemini (200) and by OPEA's guards (a black
  list, or status 466), refused as a picture; ``<unsafe:466>`` is blocked by OPEA's gateways;
- S3 takes any key id with the secret ``emulator-secret``, and has a bucket named ``bucket``.

Four characters are a token.

Map: ``server`` the emulator · ``service`` the way of one request · ``delivery`` sending and cutting ·
``dialects`` one module a service · ``answers``, ``schemas``, ``vectors``, ``media`` what is said · ``forms``
multipart bodies · ``timing``, ``limits``, ``faults``, ``records``, ``headers`` as their names say ·
``exchange`` the shapes in between.
"""

from asyncapi.emulator.answers import answer_text, count_tokens, question_digest
from asyncapi.emulator.dialects import DIALECTS, Dialect
from asyncapi.emulator.faults import ALL, TRANSIENT, Fault, Faults, Step, parse_faults
from asyncapi.emulator.limits import Limits, parse_limits
from asyncapi.emulator.records import Counts, Received, key_digest
from asyncapi.emulator.server import Emulator
from asyncapi.emulator.timing import Timing
from asyncapi.emulator.vectors import POISON, UNSAFE

__all__ = [
    "ALL",
    "DIALECTS",
    "POISON",
    "TRANSIENT",
    "UNSAFE",
    "Counts",
    "Dialect",
    "Emulator",
    "Fault",
    "Faults",
    "Limits",
    "Received",
    "Step",
    "Timing",
    "answer_text",
    "count_tokens",
    "key_digest",
    "parse_faults",
    "parse_limits",
    "question_digest",
]
