"""Owns objects in Azure Blob Storage: block blobs by block list, never overwriting.

`If-None-Match: *` makes a PUT or the commit of a block list fail when the blob exists. Uncommitted blocks belong to the
blob's name, not to an upload: their ids begin with the upload's own nonce. Azure has no request that removes them; it
does so itself after a week. A lost answer is told from a foreign blob by the nonce in the blob's metadata.
"""

from __future__ import annotations

import base64
import io
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import BinaryIO
from urllib.parse import quote, urlencode

from egress_recorder.contract import AzureDestination, Destination
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.storage.azure_auth import AzureAuth
from egress_recorder.storage.base import (
    ObjectExistsError,
    PartRecord,
    StorageContext,
    Upload,
    UploadLostError,
    checked_key,
)
from egress_recorder.storage.owned import OwnedObjects
from egress_recorder.storage.rest import PASSING, Answer, HttpClient, checked_url
from egress_recorder.storage.secretfiles import SecretFiles

_NONCE = "x-ms-meta-egressupload"
"""Header of the metadata entry that tells our own blob from a foreign one."""
_LOST = frozenset({"InvalidBlockList", "InvalidBlockId", "InvalidBlobOrBlock"})
_REFUSED = frozenset({401, 403})


class AzureStorage(OwnedObjects):
    """A container and what is in it."""

    min_part_size = 1
    NO_PLACE = "ContainerNotFound"
    _nonce_header = _NONCE

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        assert isinstance(destination, AzureDestination)
        self._where = f"{context.where}.azure"
        self._filepath = context.where
        self._container = destination.container_name
        self._base = _base_url(destination, self._where)
        self._client = HttpClient(
            where=self._where, proxy=destination.proxy, credentials_root=context.credentials_root
        )
        name = destination.credentials
        files = SecretFiles(context.credentials_root, name, where=self._where) if name else None
        self._auth = AzureAuth(destination.account_name, files, self._client, where=self._where)
        self._aborted: set[str] = set()

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        """Put Blob; where nothing may be overwritten a list of one block, for a name that has uncommitted blocks already.

        Azurite calls such a name taken when Put Blob brings the condition, and not when a block list does.
        """
        if overwrite:
            nonce = secrets.token_hex(8)
            headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": content_type, _NONCE: nonce}
            self._check(self._send("PUT", key, {}, data, headers), key)
        else:
            upload = self.begin(key, content_type, part_size=max(1, len(data)))
            self.complete(upload, [self.put_part(upload, 1, io.BytesIO(data))] if data else [])

    def begin(self, key: str, content_type: str, *, part_size: int) -> Upload:
        """Make up an upload's id; Azure learns of an upload by its first block."""
        checked_key(key, self._filepath)
        return Upload(key=key, id=f"{secrets.token_hex(8)}:{content_type}", part_size=part_size)

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        """Take up an upload; raises UploadLostError when Azure has none of its blocks."""
        upload = Upload(key=checked_key(key, self._filepath), id=upload_id, part_size=part_size)
        if not self.list_parts(upload):
            raise self._lost(upload)
        return upload

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        """Put Block."""
        if upload.id in self._aborted:
            raise self._lost(upload)
        size = data.seek(0, 2)
        block = _block_id(upload, number)
        answer = self._send("PUT", upload.key, {"comp": "block", "blockid": block}, data)
        self._check(answer, upload.key)
        return PartRecord(number=number, size=size, etag=block)

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        """Get Block List, the uncommitted ones of this upload."""
        if upload.id in self._aborted:
            raise self._lost(upload)
        parts = [
            PartRecord(number=number, size=size, etag=name)
            for nonce, number, name, size in self._uncommitted(upload.key)
            if nonce == _nonce(upload)
        ]
        return tuple(sorted(parts, key=lambda part: part.number))

    def begun(self, key: str, content_type: str) -> tuple[str, ...]:
        """Return the uploads that have uncommitted blocks; Azure does not say when they came."""
        checked_key(key, self._filepath)
        nonces = dict.fromkeys(nonce for nonce, _, _, _ in self._uncommitted(key))
        return tuple(f"{nonce}:{content_type}" for nonce in nonces)

    def _uncommitted(self, key: str) -> list[tuple[str, int, str, int]]:
        """Return nonce, number, id and size of each block of ours that waits under the name."""
        answer = self._send("GET", key, {"comp": "blocklist", "blocklisttype": "uncommitted"})
        if answer.status == 404 and self._code(answer) == "BlobNotFound":
            return []
        self._check(answer, key)
        blocks = []
        for block in ET.fromstring(answer.body.decode("utf-8-sig")).iter("Block"):  # noqa: S314 - the storage's own answer
            name, size = block.findtext("Name", ""), int(block.findtext("Size", "0"))
            nonce, _, number = base64.b64decode(name).decode(errors="replace").partition("-")
            if number.isdigit():
                blocks.append((nonce, int(number), name, size))
        return blocks

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        """Put Block List; without `overwrite` only when no blob of that name exists."""
        blocks = "".join(f"<Latest>{part.etag}</Latest>" for part in parts)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()
        headers = {
            "x-ms-blob-content-type": upload.id.partition(":")[2],
            "Content-Type": "application/xml",
            _NONCE: _nonce(upload),
        }
        self._once(upload.key, _nonce(upload), {"comp": "blocklist"}, body, headers, overwrite=overwrite)

    def abort(self, upload: Upload) -> None:
        """Use the upload no more; Azure discards its blocks after a week."""
        self._aborted.add(upload.id)

    def location(self, key: str) -> str:
        """Return the blob's URL, without a signature; LiveKit's lacks the container."""
        return self._url(key)

    def _once(
        self,
        key: str,
        nonce: str,
        query: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        *,
        overwrite: bool,
    ) -> None:
        """Make the blob appear, over a foreign one only when asked to; our own from a lost answer is a success."""
        if self._is_done(key, nonce, overwrite=overwrite):
            return
        answer = self._send(
            "PUT", key, query, body, {**headers, **({} if overwrite else {"If-None-Match": "*"})}
        )
        lost = self._code(answer) in _LOST
        if answer.status in {409, 412} or lost:
            if self._is_ours(key, nonce):
                return
            if lost:
                raise UploadLostError(f"{self._where}: the upload of {key} is gone from the server")
            if self._code(answer) in {"BlobAlreadyExists", "ConditionNotMet"}:
                raise ObjectExistsError(f"{self._where}: {key} exists already")
        self._check(answer, key)

    def _url(self, key: str) -> str:
        return (
            f"{self._base}/{quote(self._container)}/{quote(checked_key(key, self._filepath), safe='/-_.~')}"
        )

    def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: bytes | BinaryIO = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        url = self._url(key) + (f"?{urlencode(query)}" if query else "")
        size = len(body) if isinstance(body, bytes) else body.seek(0, 2)
        url, signed = self._auth.signed(method, url, headers or {}, size)
        return self._client.send(method, url, signed, body)

    def _lost(self, upload: Upload) -> UploadLostError:
        return UploadLostError(f"{self._where}: the upload of {upload.key} is gone from the server")

    def _code(self, answer: Answer) -> str:
        return answer.headers.get("x-ms-error-code", "")

    def _check(self, answer: Answer, key: str) -> None:
        """Raise what an answer means that is no success."""
        if not answer.ok:
            raise self._fault(answer.status, self._code(answer), key)

    def _fault(self, status: int, code: str, key: str) -> RecorderError:
        if code == "ContainerNotFound":
            return ConfigurationError(
                f"{self._where}.containerName {self._container!r} does not exist: create it or name another container"
            )
        if code in {"InvalidResourceName", "OutOfRangeInput"}:
            return ConfigurationError(f"{self._where}: container or name is not valid ({code})")
        if status in _REFUSED:
            return AuthorizationError(
                f"{self._where}: the server refuses the credentials ({code or status}): check the key 'account_key' or "
                "'sas_token' of the credentials Secret, or the role Storage Blob Data Contributor of the identity"
            )
        if status in PASSING or status >= 500:
            return UnreachableError(
                f"{self._where}: the server cannot serve the request now ({code or status})"
            )
        return ConfigurationError(f"{self._where}: the server refuses {key!r} ({code or status})")


def _nonce(upload: Upload) -> str:
    return upload.id.partition(":")[0]


def _block_id(upload: Upload, number: int) -> str:
    """Return a block's id; all ids of a blob must have the same length."""
    return base64.b64encode(f"{_nonce(upload)}-{number:06d}".encode()).decode()


def _base_url(destination: AzureDestination, where: str) -> str:
    if not destination.endpoint:
        if not destination.account_name:
            raise ConfigurationError(f"{where}.accountName is missing: name the storage account")
        return f"https://{destination.account_name}.blob.core.windows.net"
    return checked_url(destination.endpoint, f"{where}.endpoint")
