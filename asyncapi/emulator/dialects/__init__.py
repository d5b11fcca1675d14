"""The services that the emulator speaks as, one module each.

To add one: subclass ``Dialect`` in a module of its own, and add the class to ``DIALECTS``.
"""

from asyncapi.emulator.dialects.base import Dialect
from asyncapi.emulator.dialects.claude import Claude
from asyncapi.emulator.dialects.gemini import Gemini
from asyncapi.emulator.dialects.groq import Groq
from asyncapi.emulator.dialects.hf_tei import HFTEI
from asyncapi.emulator.dialects.hf_tgi import HFTGI
from asyncapi.emulator.dialects.llvm import LLVM
from asyncapi.emulator.dialects.ollama import Ollama
from asyncapi.emulator.dialects.opea import OPEA
from asyncapi.emulator.dialects.openai import OpenAI
from asyncapi.emulator.dialects.ovms import OVMS
from asyncapi.emulator.dialects.s3 import S3
from asyncapi.emulator.dialects.vllm import VLLM

DIALECTS: dict[str, type[Dialect]] = {
    dialect.name: dialect
    for dialect in (OpenAI, Groq, VLLM, OPEA, Claude, Gemini, Ollama, HFTEI, HFTGI, OVMS, LLVM, S3)
}
"""Every service by name."""

__all__ = ["DIALECTS", "Dialect"]
