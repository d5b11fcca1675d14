"""Amazon S3 with paths for buckets: objects, lists, copies, uploads in parts, signed URLs, XML.

Source: Amazon S3 API reference, "Actions" and "Error responses".
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape, unescape

from asyncapi.emulator.dialects.base import Dialect
from asyncapi.emulator.dialects.s3_store import Store, Thing, Upload, kept_headers
from asyncapi.emulator.dialects.s3_wire import (
    bucket_and_key,
    check_signature,
    checksum,
    key_id,
    key_id_in_query,
    payload,
)
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, invalid
from asyncapi.emulator.vectors import POISON

ROOM = 256 * 2**20
MOST_KEYS = 1000
_XML = "application/xml"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_KEY = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)
_PARTS = re.compile(r"<Part>.*?</Part>", re.DOTALL)
_CODES: dict[Trouble, tuple[int, str]] = {
    Trouble.INVALID: (400, "InvalidArgument"),
    Trouble.NOT_JSON: (400, "MalformedXML"),
    Trouble.BODY_TOO_LARGE: (400, "EntityTooLarge"),
    Trouble.UNAUTHORIZED: (403, "InvalidAccessKeyId"),
    Trouble.NO_MODEL: (404, "NoSuchKey"),
    Trouble.NO_ROUTE: (405, "MethodNotAllowed"),
    Trouble.QUOTA: (403, "AccountProblem"),
    Trouble.SPEND_LIMIT: (403, "AccountProblem"),
    Trouble.SERVER_ERROR: (500, "InternalError"),
    Trouble.UNAVAILABLE: (503, "ServiceUnavailable"),
}
_INTERNAL = "<Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message>"
_OWN_STATUS = {"PreconditionFailed": 412, "InvalidRange": 416}


class S3(Dialect):
    """An object store: any key id is good with the one secret; ``bucket`` is there from the start.

    State that changes: ``_store``.
    """

    name = "s3_kit"
    base_path = "/s3_kit"
    needs_key = True
    signs_urls = True
    body_limit = 256 * 2**20

    def __init__(self, room: int = ROOM) -> None:
        super().__init__()
        self._store = Store(room)
        for method, handler in {
            "GET": self.get,
            "HEAD": self.get,
            "PUT": self.put,
            "POST": self.post,
            "DELETE": self.delete,
        }.items():
            self.routes[(method, "s3_kit/")] = handler

    def key(self, headers: Mapping[str, str]) -> str:
        """The key id of the signature."""
        return key_id(headers)

    def key_in_query(self, query: Mapping[str, str]) -> str:
        """The key id of a signed URL."""
        return key_id_in_query(query)

    def read(self, path: str, headers: Mapping[str, str], raw: bytes) -> tuple[Json, bool]:
        """Bodies are bytes here."""
        return {}, True

    def model_in(self, path: str, body: Json) -> str:
        """Records show the bucket."""
        return path.split("/")[1] if "/" in path else ""

    def get(self, ask: Ask) -> Reply:
        """An object, its head, or a list of a bucket."""
        bucket, key = self._place(ask)
        if key:
            return _shown(self._store.get(bucket, key), ask)
        if ask.method == "HEAD":
            self._store.bucket(bucket)
            return Reply(content_type=_XML, headers={"x-amz-bucket-region": "us-east-1"})
        return self._list(ask, bucket)

    def put(self, ask: Ask) -> Reply:
        """A bucket, an object, a part of one, or a copy."""
        bucket, key = self._place(ask)
        data = payload(ask)
        if not key:
            self._store.create(bucket)
            return Reply(headers={"location": f"/{bucket}"}, content_type=_XML)
        if "uploadId" in ask.query:
            tag = self._store.put_part(ask.query["uploadId"], int(ask.query["partNumber"]), data)
            return Reply(headers={"etag": tag}, content_type=_XML)
        if "x-amz-copy-source" in ask.headers:
            return self._copy(ask, bucket, key)
        _check_conditions(ask, self._store.bucket(bucket).get(key))
        thing = self._store.put(bucket, key, data, kept_headers(dict(ask.headers)), ask.now)
        return Reply(headers={"etag": thing.etag, **_sums(ask, data)}, content_type=_XML)

    def _copy(self, ask: Ask, bucket: str, key: str) -> Reply:
        source_bucket, _, source_key = unquote(ask.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        source = self._store.get(source_bucket, source_key.partition("?versionId=")[0])
        replaced = ask.headers.get("x-amz-metadata-directive") == "REPLACE"
        headers = kept_headers(dict(ask.headers)) if replaced else source.headers
        if POISON in key:
            # A copy begins to answer before it is done, so its failure comes too late for a status.
            body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{_INTERNAL}</Error>'
            return Reply(body.encode(), content_type=_XML)
        thing = self._store.put(bucket, key, source.data, headers, ask.now)
        about = f"<ETag>{escape(thing.etag)}</ETag><LastModified>{_iso(ask.now)}</LastModified>"
        return _xml("CopyObjectResult", about)

    def post(self, ask: Ask) -> Reply:
        """Delete many, or begin or complete an upload in parts."""
        bucket, key = self._place(ask)
        text = payload(ask).decode("utf-8", "replace")
        if not key and "delete" in ask.query:
            return self._delete_many(bucket, text)
        if "uploads" in ask.query:
            identity = f"upload-{ask.serial:016x}"
            self._store.begin(identity, Upload(bucket, key, kept_headers(dict(ask.headers))))
            names = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key>"
            return _xml("InitiateMultipartUploadResult", f"{names}<UploadId>{identity}</UploadId>")
        if "uploadId" not in ask.query:
            raise Problem(Trouble.NO_ROUTE, "The specified method is not allowed against this resource.")
        thing = self._store.complete(ask.query["uploadId"], _parts(text), ask.now)
        names = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key>"
        where = f"<Location>/{escape(bucket)}/{quote(key)}</Location>"
        return _xml("CompleteMultipartUploadResult", f"{where}{names}<ETag>{escape(thing.etag)}</ETag>")

    def _delete_many(self, bucket: str, text: str) -> Reply:
        keys = [unescape(key) for key in _KEY.findall(text)]
        if not keys or len(keys) > MOST_KEYS:
            raise Problem(Trouble.NOT_JSON, "The XML you provided was not well-formed or did not validate.")
        rows = []
        for key in keys:
            name = f"<Key>{escape(key)}</Key>"
            if POISON in key:
                rows.append(f"<Error>{name}{_INTERNAL}</Error>")
                continue
            self._store.delete(bucket, key)
            if "<Quiet>true</Quiet>" not in text:
                rows.append(f"<Deleted>{name}</Deleted>")
        return _xml("DeleteResult", "".join(rows))

    def delete(self, ask: Ask) -> Reply:
        """An object, or an upload that shall not be completed."""
        bucket, key = self._place(ask)
        if not key:
            raise Problem(Trouble.NO_ROUTE, "The specified method is not allowed against this resource.")
        if "uploadId" in ask.query:
            self._store.abort(ask.query["uploadId"])
        else:
            self._store.delete(bucket, key)
        return Reply(status=204, content_type=_XML)

    def _place(self, ask: Ask) -> tuple[str, str]:
        """Bucket and key, once the signature is found good."""
        check_signature(ask)
        bucket, key = bucket_and_key(ask.raw_path)
        if not bucket:
            raise Problem(Trouble.NO_ROUTE, "The specified method is not allowed against this resource.")
        return bucket, key

    def _list(self, ask: Ask, bucket: str) -> Reply:
        query = ask.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("max-keys", MOST_KEYS)), MOST_KEYS)
        token = query.get("continuation-token", "")
        after = bytes.fromhex(token).decode() if token else query.get("start-after", "")
        names, more = self._store.listed(bucket, prefix, delimiter, after, most)
        written = quote if query.get("encoding-type") == "url" else escape
        things = self._store.bucket(bucket)
        rows = "".join(
            _row(written(name), things[name])
            if name in things
            else f"<CommonPrefixes><Prefix>{written(name)}</Prefix></CommonPrefixes>"
            for name in names
        )
        head = {
            "Name": escape(bucket),
            "Prefix": written(prefix),
            "Delimiter": written(delimiter),
            "KeyCount": str(len(names)),
            "MaxKeys": str(most),
            "EncodingType": query.get("encoding-type", ""),
            "IsTruncated": "true" if more else "false",
            "NextContinuationToken": more.encode().hex(),
        }
        about = "".join(f"<{tag}>{value}</{tag}>" for tag, value in head.items() if value or tag == "Prefix")
        return _xml("ListBucketResult", about + rows)

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal as XML; what is above a limit is told to slow down."""
        status, code = _CODES.get(problem.trouble, (503, "SlowDown"))
        if problem.trouble is Trouble.UNAUTHORIZED and problem.param == "api_key":
            code = "AccessDenied"
        code = problem.code or code
        message = "Please reduce your request rate." if code == "SlowDown" else problem.message
        resource = f"<Resource>/{escape(path.partition('/')[2])}</Resource>"
        identity = f"<RequestId>{serial:016X}</RequestId><HostId>emulator</HostId>"
        about = f"<Code>{code}</Code><Message>{escape(message)}</Message>{resource}{identity}"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{about}</Error>'
        return Reply(body.encode(), _OWN_STATUS.get(code, status), content_type=_XML)

    def id_headers(self, serial: int) -> dict[str, str]:
        """The two ids of the reply."""
        return {"x-amz-request-id": f"{serial:016X}", "x-amz-id-2": "emulator"}


def _shown(thing: Thing, ask: Ask) -> Reply:
    """An object, or a range of it, unless a condition forbids."""
    kind = thing.headers.get("content-type", "binary/octet-stream")
    headers = {name: value for name, value in thing.headers.items() if name != "content-type"}
    modified = format_datetime(datetime.fromtimestamp(int(thing.modified), UTC), True)
    headers |= {"etag": thing.etag, "last-modified": modified, "accept-ranges": "bytes"}
    _check_conditions(ask, thing)
    if ask.headers.get("if-none-match") in (thing.etag, "*"):
        return Reply(status=304, headers=headers, content_type=kind)
    wanted = ask.headers.get("range")
    if wanted is None:
        if ask.headers.get("x-amz-checksum-mode") == "ENABLED" and "-" not in thing.etag:
            headers["x-amz-checksum-crc32"] = checksum("crc32", thing.data)
        return Reply(thing.data, headers=headers, content_type=kind)
    start, end = _bounds(wanted, len(thing.data))
    headers["content-range"] = f"bytes {start}-{end}/{len(thing.data)}"
    return Reply(thing.data[start : end + 1], 206, headers, kind)


def _bounds(wanted: str, size: int) -> tuple[int, int]:
    """First and last byte of a range, of which the end may be open or the start counted from the end."""
    found = _RANGE.fullmatch(wanted)
    if found is None or found[1] == found[2] == "":
        return 0, size - 1
    if not found[1]:
        start, end = max(0, size - int(found[2])), size - 1
    else:
        start, end = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if start >= size or start > end:
        raise invalid("The requested range is not satisfiable", code="InvalidRange")
    return start, end


def _check_conditions(ask: Ask, thing: Thing | None) -> None:
    """``If-Match``, and ``If-None-Match`` where it guards a write."""
    match, none_match = ask.headers.get("if-match"), ask.headers.get("if-none-match")
    missed = match is not None and (thing is None or match.strip('"') != thing.etag.strip('"'))
    taken = ask.method == "PUT" and none_match == "*" and thing is not None
    if missed or taken:
        raise invalid("A pre-condition you specified did not hold", code="PreconditionFailed")


def _sums(ask: Ask, data: bytes) -> dict[str, str]:
    """The sum that the sender used, as the store found it."""
    asked = ask.headers.get("x-amz-sdk-checksum-algorithm", "").lower()
    return {f"x-amz-checksum-{asked}": checksum(asked, data)} if asked in ("crc32", "sha1", "sha256") else {}


def _parts(text: str) -> list[tuple[int, str]]:
    """(number, ETag) of every part that an upload is completed with."""
    parts = []
    for block in _PARTS.findall(text):
        number = re.search(r"<PartNumber>(\d+)</PartNumber>", block)
        tag = re.search(r"<ETag>(.*?)</ETag>", block)
        if number is None or tag is None:
            raise Problem(Trouble.NOT_JSON, "The XML you provided was not well-formed or did not validate.")
        parts.append((int(number[1]), unescape(tag[1], {"&quot;": '"', "&#34;": '"'})))
    return parts


def _row(name: str, thing: Thing) -> str:
    about = f"<LastModified>{_iso(thing.modified)}</LastModified><ETag>{escape(thing.etag)}</ETag>"
    size = f"<Size>{len(thing.data)}</Size><StorageClass>STANDARD</StorageClass>"
    return f"<Contents><Key>{name}</Key>{about}{size}</Contents>"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _xml(tag: str, content: str) -> Reply:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Reply(f'{head}<{tag} xmlns="{_NAMESPACE}">{content}</{tag}>'.encode(), content_type=_XML)
