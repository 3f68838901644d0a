"""Owns objects in S3 and what speaks its language: multipart uploads by botocore, never overwriting.

`If-None-Match: *` makes a PUT or a completion fail when the object exists. Servers that do not know the header
either say so (501) or ignore it: a HEAD goes before it in any case. Servers that look and then write (versitygw) let
two completions within one moment both succeed: a HEAD goes after it, too. A lost answer, and that other object, are
told by a nonce in the object's metadata.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import ClientError

from egress_recorder.contract import Destination, S3Destination
from egress_recorder.storage.base import (
    ObjectExistsError,
    PartRecord,
    StorageContext,
    Upload,
    UploadLostError,
    checked_key,
)
from egress_recorder.storage.s3_client import S3Connection
from egress_recorder.storage.s3_errors import status_of
from egress_recorder.storage.s3_names import checked_endpoint, object_url

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_NONCE = "egress-upload"
"""Name of the metadata entry that tells our own object from a foreign one."""
_ORPHAN = "orphan-"
"""How the stand-in for the nonce of an upload begins that another recorder made: its own is not told by a listing."""
_MISSING = {"NoSuchKey", "404", "NotFound"}


class S3Storage:
    """A bucket and what is in it."""

    min_part_size = 5 * 1024 * 1024

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        assert isinstance(destination, S3Destination)
        self._bucket = destination.bucket
        self._where = f"{context.where}.s3"
        self._filepath = context.where
        self._destination = destination
        self._endpoint = checked_endpoint(destination.endpoint, self._where)
        self._connection = S3Connection(
            destination, self._endpoint, credentials_root=context.credentials_root, where=self._where
        )
        self._conditional = True

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        """PUT a small object."""
        key = checked_key(key, self._filepath)
        nonce = secrets.token_hex(8)

        def put(client: S3Client, condition: dict[str, Any]) -> None:
            client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                **self._properties(nonce),
                **condition,
            )

        if overwrite:
            with self._connection.faults() as client:
                put(client, {})
        else:
            self._once(key, nonce, put)

    def read(self, key: str) -> bytes | None:
        """GET a small object; None when there is none."""
        with self._connection.faults(key) as client:
            try:
                return client.get_object(Bucket=self._bucket, Key=checked_key(key, self._filepath))[
                    "Body"
                ].read()
            except ClientError as error:
                if error.response["Error"].get("Code") in _MISSING:
                    return None
                raise

    def exists(self, key: str) -> bool:
        """HEAD the object. Raises AuthorizationError also where the key may only write."""
        with self._connection.faults(key) as client:
            return self._nonce_of(client, checked_key(key, self._filepath)) is not None

    def begin(self, key: str, content_type: str, *, part_size: int) -> Upload:
        """Create a multipart upload."""
        nonce = secrets.token_hex(8)
        with self._connection.faults(key) as client:
            answer = client.create_multipart_upload(
                Bucket=self._bucket,
                Key=checked_key(key, self._filepath),
                ContentType=content_type,
                **self._properties(nonce),
            )
        return Upload(key=key, id=f"{nonce}:{answer['UploadId']}", part_size=part_size)

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        """Take up a multipart upload; asks the server whether it still knows it."""
        upload = Upload(key=checked_key(key, self._filepath), id=upload_id, part_size=part_size)
        self.list_parts(upload)
        return upload

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        """PUT one part from the stream."""
        size = data.seek(0, 2)
        data.seek(0)
        with self._connection.faults(upload.key) as client:
            answer = client.upload_part(
                Bucket=self._bucket,
                Key=upload.key,
                UploadId=_server_id(upload),
                PartNumber=number,
                Body=data,
                ContentLength=size,
            )
        return PartRecord(number=number, size=size, etag=answer["ETag"])

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        """List the stored parts, all pages."""
        parts: list[PartRecord] = []
        with self._connection.faults(upload.key) as client:
            pages = client.get_paginator("list_parts").paginate(
                Bucket=self._bucket, Key=upload.key, UploadId=_server_id(upload)
            )
            for page in pages:
                parts += [
                    PartRecord(number=part["PartNumber"], size=part["Size"], etag=part["ETag"])
                    for part in page.get("Parts", ())
                ]
        return tuple(sorted(parts, key=lambda part: part.number))

    def begun(self, key: str, content_type: str) -> tuple[str, ...]:
        """List the multipart uploads of the key. A nonce that nobody knows makes their object a foreign one."""
        del content_type  # said at the begin
        found: list[tuple[datetime, str]] = []
        with self._connection.faults(key) as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=checked_key(key, self._filepath)
            )
            for page in pages:
                found += [
                    (one["Initiated"], f"{_ORPHAN}{secrets.token_hex(8)}:{one['UploadId']}")
                    for one in page.get("Uploads", ())
                    if one["Key"] == key
                ]
        return tuple(upload for _, upload in sorted(found))

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        """Complete the multipart upload; without `overwrite` only when no object of that name exists."""
        nonce = upload.id.partition(":")[0]

        def complete(client: S3Client, condition: dict[str, Any]) -> None:
            client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=upload.key,
                UploadId=_server_id(upload),
                MultipartUpload={"Parts": [{"ETag": part.etag, "PartNumber": part.number} for part in parts]},
                **condition,
            )

        self._once(upload.key, nonce, complete, overwrite=overwrite)
        if not overwrite and not nonce.startswith(_ORPHAN):
            self._refuse_replaced(upload.key, nonce)

    def abort(self, upload: Upload) -> None:
        """Abort the multipart upload."""
        with suppress(UploadLostError), self._connection.faults(upload.key) as client:
            client.abort_multipart_upload(Bucket=self._bucket, Key=upload.key, UploadId=_server_id(upload))

    def location(self, key: str) -> str:
        """Return the object's URL, without a signature."""
        return object_url(self._destination, self._endpoint, key)

    def presigned(self, key: str, seconds: float) -> str:
        """Return a presigned GET; it is valid no longer than the credentials that sign it."""
        with self._connection.faults(key) as client:
            return client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": checked_key(key, self._filepath)},
                ExpiresIn=int(seconds),
            )

    def _properties(self, nonce: str) -> dict[str, Any]:
        """Return what every object of this destination gets."""
        wanted = self._destination
        given: Mapping[str, Any] = {
            "Tagging": wanted.tagging,
            "ServerSideEncryption": wanted.server_side_encryption,
            "SSEKMSKeyId": wanted.sse_kms_key_id,
        }
        return {
            "Metadata": {**wanted.metadata, _NONCE: nonce},
            "ContentDisposition": wanted.content_disposition or "inline",
            **{name: value for name, value in given.items() if value},
        }

    def _once(
        self,
        key: str,
        nonce: str,
        action: Callable[[S3Client, dict[str, Any]], None],
        *,
        overwrite: bool = False,
    ) -> None:
        """Make the object appear, over a foreign one only when asked to; our own from a lost answer is a success."""
        with self._connection.faults(key) as client:
            if (owner := self._nonce_if_readable(client, key)) is not None:
                if owner == nonce:
                    return
                if not overwrite:
                    raise ObjectExistsError(f"{self._where}: {key} exists already")
            try:
                if self._conditional and not overwrite:
                    try:
                        action(client, {"IfNoneMatch": "*"})
                    except ClientError as error:
                        if status_of(error) != 501:
                            raise
                        self._conditional = False
                if overwrite or not self._conditional:
                    action(client, {})
            except ClientError as error:
                code = error.response["Error"].get("Code")
                if code not in {"PreconditionFailed", "NoSuchUpload", "412"}:
                    raise
                # botocore itself repeats a request whose answer was lost.
                if self._nonce_if_readable(client, key) == nonce:
                    return
                if code == "NoSuchUpload":
                    raise
                raise ObjectExistsError(f"{self._where}: {key} exists already") from error

    def _refuse_replaced(self, key: str, nonce: str) -> None:
        """Raise ObjectExistsError when another completion took the name in the same moment: our file is not there."""
        with self._connection.faults(key) as client:
            if self._nonce_if_readable(client, key) not in {nonce, None}:
                raise ObjectExistsError(
                    f"{self._where}: {key} was written by another upload at the same moment"
                )

    def _nonce_if_readable(self, client: S3Client, key: str) -> str | None:
        try:
            return self._nonce_of(client, key)
        except ClientError as error:
            # A key that may only write cannot look; If-None-Match decides alone then.
            if status_of(error) == 403:
                return None
            raise

    def _nonce_of(self, client: S3Client, key: str) -> str | None:
        """Return the nonce of the object at key, "" when it has none, None when there is no object."""
        try:
            return client.head_object(Bucket=self._bucket, Key=key)["Metadata"].get(_NONCE, "")
        except ClientError as error:
            # A HEAD has no body: whether the bucket is missing shows only at the next request.
            if status_of(error) == 404:
                return None
            raise


def _server_id(upload: Upload) -> str:
    return upload.id.partition(":")[2]
