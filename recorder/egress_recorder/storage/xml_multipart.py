"""Owns objects behind the XML multipart API that GCS and OSS share with S3; what differs is theirs to fill in.

Whether the vendor takes a condition for a request that makes an object appear is the subclass's to say.
"""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, ClassVar
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.storage.base import (
    ObjectExistsError,
    PartRecord,
    StorageContext,
    Upload,
    UploadLostError,
    checked_key,
)
from egress_recorder.storage.owned import OwnedObjects
from egress_recorder.storage.rest import PASSING, Answer, HttpClient


class XmlMultipartStorage(OwnedObjects):
    """A bucket; the subclass signs requests, names its headers and knows its vendor's errors."""

    min_part_size = 5 * 1024 * 1024
    NO_PLACE = "NoSuchBucket"
    META: ClassVar[str]
    """Prefix of metadata headers."""
    NOT_OVER_PUT: ClassVar[Mapping[str, str]]
    """Header by which a PUT refuses to overwrite."""
    NOT_OVER_COMPLETE: ClassVar[Mapping[str, str]]
    """Header by which a completion refuses to overwrite; empty where the vendor has none."""

    def __init__(self, context: StorageContext, client: HttpClient, *, where: str, bucket: str) -> None:
        self._where = where
        self._filepath = context.where
        self._bucket = bucket
        self._client = client
        self._nonce_header = f"{self.META}egress-upload"

    # ---- the vendor's part ----------------------------------------------------------------------------------------

    def _signed(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """Return URL and headers of an authorised request."""
        raise NotImplementedError

    def _refusal(self, code: str) -> RecorderError | None:
        """Return what a code of the vendor's own means."""
        raise NotImplementedError

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        """PUT a small object."""
        nonce = secrets.token_hex(8)
        headers = {"Content-Type": content_type, self._nonce_header: nonce}
        if overwrite:
            self._check(self._send("PUT", key, {}, data, headers), key)
        else:
            self._once(key, nonce, "PUT", {}, data, {**headers, **self.NOT_OVER_PUT})

    def begin(self, key: str, content_type: str, *, part_size: int) -> Upload:
        """Initiate a multipart upload."""
        nonce = secrets.token_hex(8)
        headers = {"Content-Type": content_type, self._nonce_header: nonce}
        answer = self._send("POST", key, {"uploads": ""}, b"", headers)
        self._check(answer, key)
        return Upload(key=key, id=f"{nonce}:{_text(_xml(answer), 'UploadId')}", part_size=part_size)

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        """Take up a multipart upload; asks the server whether it still knows it."""
        upload = Upload(key=checked_key(key, self._filepath), id=upload_id, part_size=part_size)
        self.list_parts(upload)
        return upload

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        """PUT one part from the stream."""
        size = data.seek(0, 2)
        answer = self._send("PUT", upload.key, {"partNumber": str(number), "uploadId": _id(upload)}, data)
        self._check(answer, upload.key)
        return PartRecord(number=number, size=size, etag=answer.headers.get("etag", ""))

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        """List the stored parts, all pages."""
        parts: list[PartRecord] = []
        marker = ""
        while True:
            query = {"uploadId": _id(upload), **({"part-number-marker": marker} if marker else {})}
            answer = self._send("GET", upload.key, query)
            self._check(answer, upload.key)
            page = _xml(answer)
            parts += [
                PartRecord(
                    number=int(_text(part, "PartNumber")),
                    size=int(_text(part, "Size")),
                    etag=_text(part, "ETag"),
                )
                for part in page.iter()
                if _name(part) == "Part"
            ]
            marker = _text(page, "NextPartNumberMarker")
            if _text(page, "IsTruncated") != "true" or not marker:
                return tuple(sorted(parts, key=lambda part: part.number))

    def begun(self, key: str, content_type: str) -> tuple[str, ...]:
        """List the multipart uploads of the key. A nonce that nobody knows makes their object a foreign one."""
        del content_type  # said at the begin
        found: list[tuple[str, str]] = []
        marker: dict[str, str] = {}
        while True:
            query = {"uploads": "", "prefix": checked_key(key, self._filepath), **marker}
            url, headers = self._signed("GET", "", query, {})
            answer = self._client.send("GET", url, headers, b"")
            self._check(answer, key)
            page = _xml(answer)
            found += [
                (_text(one, "Initiated"), f"{secrets.token_hex(8)}:{_text(one, 'UploadId')}")
                for one in page.iter()
                if _name(one) == "Upload" and _text(one, "Key") == key
            ]
            following = {
                "key-marker": _text(page, "NextKeyMarker"),
                "upload-id-marker": _text(page, "NextUploadIdMarker"),
            }
            if _text(page, "IsTruncated") != "true" or following == marker:
                return tuple(upload for _, upload in sorted(found))
            marker = following

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        """Complete the multipart upload; without `overwrite` only when no object of that name exists."""
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>"
            for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        nonce = upload.id.partition(":")[0]
        headers = {"Content-Type": "application/xml", **({} if overwrite else self.NOT_OVER_COMPLETE)}
        self._once(upload.key, nonce, "POST", {"uploadId": _id(upload)}, body, headers, overwrite=overwrite)

    def abort(self, upload: Upload) -> None:
        """Abort the multipart upload."""
        answer = self._send("DELETE", upload.key, {"uploadId": _id(upload)})
        with suppress(UploadLostError):
            self._check(answer, upload.key)

    # ---- small steps ----------------------------------------------------------------------------------------------

    def _once(
        self,
        key: str,
        nonce: str,
        method: str,
        query: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        *,
        overwrite: bool = False,
    ) -> None:
        """Make the object appear, over a foreign one only when asked to; our own from a lost answer is a success."""
        if self._is_done(key, nonce, overwrite=overwrite):
            return
        answer = self._send(method, key, query, body, headers)
        try:
            self._check(answer, key)
        except (ObjectExistsError, UploadLostError):
            if not self._is_ours(key, nonce):
                raise

    def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: bytes | BinaryIO = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        url, signed = self._signed(method, checked_key(key, self._filepath), query, headers or {})
        return self._client.send(method, url, signed, body)

    def _code(self, answer: Answer) -> str:
        if answer.ok and b"<Error" not in answer.body[:200]:
            return ""
        try:
            return _text(_xml(answer), "Code")
        except ET.ParseError:
            return ""

    def _check(self, answer: Answer, key: str) -> None:
        """Raise what an answer means that is no success; a completion may say 200 and an error in its body."""
        code = self._code(answer)
        if answer.ok and not code:
            return
        status = answer.status if not answer.ok else 500
        if code == "NoSuchUpload":
            raise UploadLostError(f"{self._where}: the upload of {key} is gone from the server")
        if status == 412 or code in {"PreconditionFailed", "FileAlreadyExists"}:
            raise ObjectExistsError(f"{self._where}: {key} exists already")
        if code == "NoSuchBucket":
            raise ConfigurationError(
                f"{self._where}.bucket {self._bucket!r} does not exist: create it or name another bucket"
            )
        if (known := self._refusal(code)) is not None:
            raise known
        if status in {401, 403}:
            raise AuthorizationError(
                f"{self._where}: the server does not let these credentials write to the bucket {self._bucket!r} "
                f"({code or status}): give them the rights of the storage's page"
            )
        if status in PASSING or status >= 500:
            raise UnreachableError(
                f"{self._where}: the server cannot serve the request now ({code or status})"
            )
        raise ConfigurationError(f"{self._where}: the server refuses {key!r} ({code or status})")


def query_of(query: Mapping[str, str]) -> str:
    """Return a query as it stands in the URL: `?uploads` without a sign of equality."""
    text = "&".join(
        name if not value else urlencode({name: value}, quote_via=quote) for name, value in query.items()
    )
    return f"?{text}" if text else ""


def path_of(key: str) -> str:
    """Return a key as it stands in the URL."""
    return quote(key, safe="/-_.~")


def _id(upload: Upload) -> str:
    return upload.id.partition(":")[2]


def _xml(answer: Answer) -> ET.Element:
    return ET.fromstring(answer.body)  # noqa: S314 - the storage's own answer


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, name: str) -> str:
    """Return the text of the first child of that name, in whatever name space."""
    return next((child.text or "" for child in element if _name(child) == name), "")
