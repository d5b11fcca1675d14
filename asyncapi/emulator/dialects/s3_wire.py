"""How S3 signs, chunks and sums. Source: Amazon S3 API reference, "Authenticating requests (SigV4)",
"Signature calculations for the chunked upload", "Checking object integrity".
"""

import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote

from asyncapi.emulator.exchange import Ask, Problem, Trouble, invalid

SECRET = "emulator-secret"
"""The secret of every key id."""

SKEW = timedelta(minutes=15)
_ALGORITHM = "AWS4-HMAC-SHA256"
_PART = re.compile(r"(Credential|SignedHeaders|Signature)=([^, ]+)")
_UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request says of its signature.

    Args:
        credential: Key id, date, region, service, terminator.
        headers: Names of the signed headers.
        signature: In hexadecimal.
        moment: As ``20261123T053000Z``.
        expires: Seconds that a signed URL lives; None for a signed header.
    """

    credential: tuple[str, ...]
    headers: tuple[str, ...]
    signature: str
    moment: str
    expires: int | None = None


def key_id(headers: Mapping[str, str]) -> str:
    """The key id of a signed header, empty for none."""
    found: dict[str, str] = dict(_PART.findall(headers.get("authorization", "")))
    return found.get("Credential", "").partition("/")[0]


def key_id_in_query(query: Mapping[str, str]) -> str:
    """The key id of a signed URL, of the new or of the old kind."""
    return query.get("X-Amz-Credential", "").partition("/")[0] or query.get("AWSAccessKeyId", "")


def check_signature(ask: Ask) -> None:
    """Refuse a signature that is old, expired or wrong; of one of version 2 only the age is seen.

    Requests without any are let in: where keys are required, they do not come this far.
    """
    signed = _signed(ask)
    if signed is None:
        if "AWSAccessKeyId" in ask.query and int(ask.query["Expires"]) < ask.now:
            raise Problem(Trouble.UNAUTHORIZED, "Request has expired", code="AccessDenied")
        return
    at = datetime.strptime(signed.moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    now = datetime.fromtimestamp(ask.now, UTC)
    if signed.expires is None and abs(now - at) > SKEW:
        raise Problem(
            Trouble.UNAUTHORIZED,
            "The difference between the request time and the server's time is too large.",
            code="RequestTimeTooSkewed",
        )
    if signed.expires is not None and now > at + timedelta(seconds=signed.expires):
        raise Problem(Trouble.UNAUTHORIZED, "Request has expired", code="AccessDenied")
    if not hmac.compare_digest(signed.signature, _signature(ask, signed)):
        raise Problem(
            Trouble.UNAUTHORIZED,
            "The request signature we calculated does not match the signature you provided.",
            code="SignatureDoesNotMatch",
        )


def _signed(ask: Ask) -> Signed | None:
    """From the header or from the URL; None where there is none of this version."""
    header = ask.headers.get("authorization", "")
    found = dict(_PART.findall(header))
    if header:
        if not header.startswith(_ALGORITHM) or len(found) != 3:
            raise invalid("The authorization header is malformed.", code="AuthorizationHeaderMalformed")
        moment = ask.headers.get("x-amz-date", "")
        return Signed(
            tuple(found["Credential"].split("/")),
            tuple(found["SignedHeaders"].split(";")),
            found["Signature"],
            moment,
        )
    if ask.query.get("X-Amz-Algorithm") != _ALGORITHM:
        return None
    return Signed(
        tuple(ask.query["X-Amz-Credential"].split("/")),
        tuple(ask.query["X-Amz-SignedHeaders"].split(";")),
        ask.query["X-Amz-Signature"],
        ask.query["X-Amz-Date"],
        int(ask.query["X-Amz-Expires"]),
    )


def _signature(ask: Ask, signed: Signed) -> str:
    """The signature that the request should have."""
    _, *scope = signed.credential
    payload = _UNSIGNED if signed.expires is not None else ask.headers.get("x-amz-content-sha256", "")
    lines = [f"{name}:{' '.join(ask.headers.get(name, '').split())}\n" for name in signed.headers]
    canonical = "\n".join(
        [ask.method, ask.raw_path, _query(ask.raw_query), "".join(lines), ";".join(signed.headers), payload]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([_ALGORITHM, signed.moment, "/".join(scope), digest])
    key = f"AWS4{SECRET}".encode()
    for word in scope:
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _query(raw: str) -> str:
    """The query in its canonical form, without the signature itself."""
    pairs = [
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(raw.replace("+", "%2B"), keep_blank_values=True)
        if name != "X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def payload(ask: Ask) -> bytes:
    """The bytes of an object: chunks put together, sums and lengths checked."""
    declared = ask.headers.get("x-amz-content-sha256", "")
    if "aws-chunked" in ask.headers.get("content-encoding", "") or declared.startswith("STREAMING-"):
        data, trailers = _unchunked(ask.raw)
        length = ask.headers.get("x-amz-decoded-content-length")
        if length is not None and int(length) != len(data):
            raise invalid("You did not provide the number of bytes specified.", code="IncompleteBody")
    else:
        data, trailers = ask.raw, {}
        if len(declared) == 64 and hashlib.sha256(data).hexdigest() != declared:
            raise invalid(
                "The provided 'x-amz-content-sha256' does not match.", code="XAmzContentSHA256Mismatch"
            )
    _check_sums(data, {**ask.headers, **trailers})
    return data


def _unchunked(raw: bytes) -> tuple[bytes, dict[str, str]]:
    """The data of ``aws-chunked`` and its trailing headers."""
    data, at = bytearray(), 0
    while True:
        end = raw.find(b"\r\n", at)
        size = raw[at:end].partition(b";")[0]
        if end < 0 or not re.fullmatch(rb"[0-9a-fA-F]+", size):
            raise invalid("The chunks could not be read.", code="IncompleteBody")
        length = int(size, 16)
        at = end + 2
        if length == 0:
            break
        data += raw[at : at + length]
        at += length + 2
    lines = (line.partition(":") for line in raw[at:].decode("latin-1").splitlines())
    return bytes(data), {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def _check_sums(data: bytes, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        lowered = name.lower()
        if lowered == "content-md5":
            ours = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        elif lowered in ("x-amz-checksum-crc32", "x-amz-checksum-sha1", "x-amz-checksum-sha256"):
            ours = checksum(lowered.rpartition("-")[2], data)
        else:
            continue
        if ours != value:
            raise invalid(f"The {lowered} you specified did not match the calculated one.", code="BadDigest")


def checksum(kind: str, data: bytes) -> str:
    """A sum of S3's kinds in base64: crc32, sha1 or sha256."""
    if kind == "crc32":
        return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    return base64.b64encode(hashlib.new(kind, data, usedforsecurity=False).digest()).decode()


def etag(data: bytes) -> str:
    """The quoted MD5 of an object."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def bucket_and_key(raw_path: str) -> tuple[str, str]:
    """The names in a path below ``/s3``."""
    rest = raw_path.split("/", 2)[2] if raw_path.count("/") > 1 else ""
    bucket, _, key = rest.partition("/")
    return unquote(bucket), unquote(key)
