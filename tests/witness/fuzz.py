"""Damaged answers by the hundred thousand: a right answer or one of our errors, nothing else, and soon.

    python -m tests.witness.fuzz --count 100000                 every dialect
    python -m tests.witness.fuzz --count 100000 --dialect claude --seed 7

Every case is a good answer of the emulator or of the golden files (see ``corpus``), damaged by a seeded
chance (see ``mutations``). What must hold:

* damaged anyhow: an answer whose fields have their types and that answers all that was asked, or an
  AsyncAPIError; a stream's chunks and its whole say the same;
* cut short: never taken for whole, unless it says all that the whole one says;
* framed otherwise: the same answer;
* no case takes longer than a second, none raises anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from asyncapi.abc import ServiceBackend
from asyncapi.backends import known_backends
from asyncapi.errors import AsyncAPIError
from asyncapi.types.objects import ObjectRequest
from asyncapi.types.requests import (
    ChatBatchRequest,
    ClassifyRequest,
    CompleteRequest,
    EmbedRequest,
    ModelsRequest,
    ModerateRequest,
    NativeRequest,
    RerankRequest,
    RespondRequest,
    ScoreRequest,
    SparseEmbedRequest,
    SpeechRequest,
    TokenizeRequest,
    TranscribeRequest,
)
from asyncapi.types.responses import (
    ChatResponse,
    Chunk,
    CompleteResponse,
    CountTokensResponse,
    InferResponse,
    RerankResponse,
    Response,
)
from asyncapi.types.wire import WireResponse
from tests.e2e.operations import service_of

from .corpus import Case, record
from .mutations import DAMAGE, cut, pieces, reframed_json, reframed_lines, reframed_stream

SLOW_S = 1.0
#: Ids that a backend makes up, new ones for each answer where the service gives it none.
_GENERATED = re.compile(r"gen_\w+")
#: Requests whose answers are not told apart from damaged ones by their form: sounds, texts, any JSON.
_FORMLESS = (SpeechRequest, TranscribeRequest, NativeRequest, ObjectRequest)
#: Requests whose answers hold the service's own JSON.
_VERBATIM = (NativeRequest, ModelsRequest)
#: Requests with several items, and where their answers are.
_LISTS: Mapping[type, tuple[str, str]] = {
    ChatBatchRequest: ("conversations", "outputs"),
    ClassifyRequest: ("inputs", "results"),
    CompleteRequest: ("prompts", "outputs"),
    EmbedRequest: ("inputs", "vectors"),
    ModerateRequest: ("inputs", "results"),
    ScoreRequest: ("documents", "scores"),
    SparseEmbedRequest: ("inputs", "vectors"),
    TokenizeRequest: ("inputs", "results"),
}


class Finding(AssertionError):
    """Something that must not be."""


class Fuzzer:
    """Damages the cases of one service and judges what its backend makes of them.

    State: ``_chance``; what was seen is counted in ``seen``, the worst in ``findings`` by their title.
    """

    def __init__(self, service: str, cases: Iterable[Case], seed: int = 0) -> None:
        self.backend: ServiceBackend = service_of(service)
        self.cases = list(cases)
        self.seen: Counter[str] = Counter()
        self.findings: dict[str, str] = {}
        self.slowest_s = 0.0
        self._chance = random.Random(f"{service} {seed}")
        self.whole = [self._read(case, case.reply, [case.reply.body]) for case in self.cases]

    def run(self, count: int) -> None:
        """So many damaged answers."""
        for _ in range(count):
            self.one()

    def one(self) -> None:
        """One damaged answer."""
        at = self._chance.randrange(len(self.cases))
        case, whole = self.cases[at], self.whole[at]
        how, body = self._damaged(case)
        reply = WireResponse(status=case.reply.status, headers=self._headers(case, how), body=body)
        begun = time.perf_counter()
        try:
            answer = self._read(case, reply, pieces(body, self._chance))
            took = time.perf_counter() - begun
            self.slowest_s = max(self.slowest_s, took)
            _check(case, how, whole, answer)
            if took > SLOW_S:
                raise Finding(f"it took {took:.1f} s")
        except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
            self._find(case, how, body, error)
        else:
            self.seen[f"{how}: {'an error' if isinstance(answer, AsyncAPIError) else 'an answer'}"] += 1

    def _damaged(self, case: Case) -> tuple[str, bytes]:
        body, chance = case.reply.body, self._chance
        if not body:
            return "damaged", chance.choice((b"", b"\x00", b"{", b"null", b"[]", b"<html>"))
        way = chance.random()
        if way < 0.15 and not isinstance(case.request, _FORMLESS):
            return "cut", cut(body, chance)
        if way < 0.25 and (framed := _reframed(case, chance)) is not None:
            return "reframed", framed
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            body = chance.choice(DAMAGE)(body or b"x", chance)
        return "damaged", body

    def _headers(self, case: Case, how: str) -> Mapping[str, str]:
        headers = dict(case.reply.headers)
        if how == "damaged" and headers and self._chance.random() < 0.1:
            name = self._chance.choice(list(headers))
            value = self._chance.choice(("", "x", "-1", "9" * 30, "nan", "inf", "1e999", "\x00", "ü", "²"))
            headers[name] = value
        return headers

    def _read(
        self, case: Case, reply: WireResponse, parts: Iterable[bytes]
    ) -> Response | AsyncAPIError | None:
        try:
            if case.kind == "error":
                return self.backend.error(reply)
            if case.kind == "whole":
                return self.backend.decode(case.request, reply)
            return self._streamed(case, reply, parts)
        except AsyncAPIError as error:
            str(error), repr(error)
            return error

    def _streamed(self, case: Case, reply: WireResponse, parts: Iterable[bytes]) -> Response | AsyncAPIError:
        head = WireResponse(status=200, headers=reply.headers, body=b"")
        decoder = self.backend.stream(case.request, head)
        chunks: list[Chunk] = []
        for part in parts:
            chunks += decoder.feed(part)
            if decoder.error is not None or decoder.done:
                break
        _check_fields(decoder.partial(), case, whole=False)
        if decoder.error is not None:
            return decoder.error
        answer = decoder.finish()
        if not isinstance(case.request, RespondRequest):  # its last event says all again, and counts
            _check_chunks(chunks, answer)
        return answer

    def _find(self, case: Case, how: str, body: bytes, error: Exception) -> None:
        words = f"{case.title}: {how}: {type(error).__name__}: {error}"[:300]
        self.seen["found"] += 1
        if len(self.findings) < 100:
            frame = _place(error)
            title = f"{case.title}: {how}: {type(error).__name__} at {frame}"
            self.findings.setdefault(title, f"{words}\n    {body!r}")


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _reframed(case: Case, chance: random.Random) -> bytes | None:
    body = case.reply.body
    if case.kind == "stream":
        if body.startswith(b"{"):
            return reframed_lines(body, chance)
        return None if isinstance(case.request, ObjectRequest) else reframed_stream(body, chance)
    try:
        json.loads(body)
    except ValueError:
        return None
    return reframed_json(body, chance, unknown=not isinstance(case.request, _VERBATIM))


def _check(case: Case, how: str, whole: Any, answer: Any) -> None:
    if isinstance(answer, Response):
        _check_fields(answer, case, whole=True)
    if how == "reframed" and _meaning(answer) != _meaning(whole):
        raise Finding(f"another answer: {_meaning(answer)!r:.500} instead of {_meaning(whole)!r:.500}")
    if how == "cut" and isinstance(answer, Response) and _content(answer) != _content(whole):
        raise Finding(f"a short answer taken for whole: {_content(answer)!r:.500}")


def _meaning(answer: Any) -> Any:
    """What an answer says; of an error, its class and whether it may be tried again."""
    if isinstance(answer, AsyncAPIError):
        return type(answer), answer.retryable
    return _GENERATED.sub("gen_", repr(msgspec.structs.replace(answer, raw=None)))


def _content(answer: Any) -> Any:
    """The same without what a stream says after its last word: usage, warnings."""
    if isinstance(answer, ChatResponse | CompleteResponse):
        return _GENERATED.sub("gen_", repr(answer.outputs))
    return _meaning(answer)


def _check_chunks(chunks: Iterable[Chunk], answer: Response) -> None:
    texts: dict[int, str] = {}
    for chunk in chunks:
        texts[chunk.output] = texts.get(chunk.output, "") + chunk.text
    for output in getattr(answer, "outputs", ()) if isinstance(answer, ChatResponse) else ():
        if output.text != texts.get(output.index, ""):
            raise Finding(f"chunks say {texts.get(output.index)!r:.200}, the whole {output.text!r:.200}")


def _check_fields(answer: Response, case: Case, *, whole: bool) -> None:
    if not isinstance(answer.id + answer.model + answer.provider_request_id, str):
        raise Finding("id, model or request id is no text")
    counts = msgspec.structs.astuple(answer.usage)
    wrong = [count for count in counts if isinstance(count, float | bool) and not count >= 0]
    if wrong or (answer.usage.total_tokens or 0) < 0:
        raise Finding(f"usage {answer.usage}")
    if isinstance(answer, ChatResponse | CompleteResponse):
        _check_outputs(answer)
    if not whole:
        return
    if isinstance(answer, InferResponse):
        for tensor in answer.outputs.values():
            if tensor.numpy().shape != tensor.shape:
                raise Finding("a tensor of another shape")
    if isinstance(answer, CountTokensResponse) and answer.input_tokens < 0:
        raise Finding("fewer tokens than none")
    _check_lists(answer, case)


def _check_outputs(answer: ChatResponse | CompleteResponse) -> None:
    for output in answer.outputs:
        texts = [output.text, output.raw_reason, output.refusal, output.stop_sequence or ""]
        texts += [getattr(part, name, "") for part in output.parts for name in ("id", "name", "arguments")]
        if not all(isinstance(text, str) for text in texts) or not isinstance(output.index, int):
            raise Finding(f"fields of other types: {output!r:.300}")


def _check_lists(answer: Response, case: Case) -> None:
    asked = _LISTS.get(type(case.request))
    if asked is not None and not case.request.streams:
        wanted, got = len(getattr(case.request, asked[0])), len(getattr(answer, asked[1]))
        if wanted != got:
            raise Finding(f"{got} answers to {wanted} items")
    if isinstance(case.request, RerankRequest) and isinstance(answer, RerankResponse):
        places = sorted(ranked.index for ranked in answer.results)
        if places != list(range(len(case.request.documents))):
            raise Finding(f"places {places}")


async def fuzz(services: Iterable[str], count: int, seed: int) -> int:
    """Fuzz services one after another and tell about it; how much was found."""
    found = 0
    for service in services:
        fuzzer = Fuzzer(service, await record(service), seed)
        begun = time.perf_counter()
        for done in range(0, count, 500):
            faulthandler.dump_traceback_later(60, exit=True)  # a hang shows where
            fuzzer.run(min(500, count - done))
            faulthandler.cancel_dump_traceback_later()
            if sys.stderr.isatty():
                print(f"\r{service}: {done + 500} of {count}", end="", file=sys.stderr)
        took = time.perf_counter() - begun
        seen = ", ".join(f"{how} {number}" for how, number in sorted(fuzzer.seen.items()))
        slowest_ms = fuzzer.slowest_s * 1000
        print(f"\r{service}: {count} in {took:.0f} s, slowest {slowest_ms:.0f} ms; {seen}", flush=True)
        for title, words in fuzzer.findings.items():
            print(f"  FOUND {title}\n    {words}", flush=True)
        found += len(fuzzer.findings)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="damaged answers of each dialect")
    parser.add_argument("--dialect", action="append", choices=known_backends(), help="default: every one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = asyncio.run(fuzz(options.dialect or known_backends(), options.count, options.seed))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
