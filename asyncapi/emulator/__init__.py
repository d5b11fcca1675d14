"""Pretend AI services for demos, benchmarks and tests.

They speak the dialects of OpenAI, Groq, vLLM, OPEA, Claude, Ollama and Hugging Face TEI as the real ones do,
with rate limits, service times and faults, and keep a record of all that they receive. Nothing here is shared
with the client that it checks.

Words that steer the answers: a user text with ``tool`` (``tools``) gets one tool call (two) when the request
declares tools; a model whose name begins with ``missing`` does not exist; a text with ``<poison>`` fails the
whole embedding or rerank request that it came in. Any other model name is served, and four characters are a
token.

Map: ``server`` the emulator · ``service`` the way of one request · ``delivery`` sending and cutting ·
``dialects`` one module a service · ``answers``, ``schemas``, ``vectors`` what is said · ``timing``,
``limits``, ``faults``, ``records``, ``headers`` as their names say · ``exchange`` the shapes in between.
"""

from asyncapi.emulator.answers import answer_text, count_tokens, question_digest
from asyncapi.emulator.dialects import DIALECTS, Dialect
from asyncapi.emulator.faults import ALL, TRANSIENT, Fault, Faults, Step, parse_faults
from asyncapi.emulator.limits import Limits, parse_limits
from asyncapi.emulator.records import Counts, Received, key_digest
from asyncapi.emulator.server import Emulator
from asyncapi.emulator.timing import Timing
from asyncapi.emulator.vectors import POISON

__all__ = [
    "ALL",
    "DIALECTS",
    "POISON",
    "TRANSIENT",
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
