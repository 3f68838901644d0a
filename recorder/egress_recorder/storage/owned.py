"""Owns what object stores behind plain requests share: reading an object, and telling our own from a foreign one.

A lost answer is told from a foreign object by a nonce in the object's metadata, as in `s3.py`. A HEAD goes before each
request that makes an object appear; a condition of the vendor's own, where there is one, decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO, ClassVar

from egress_recorder.errors import AuthorizationError
from egress_recorder.storage.base import ObjectExistsError
from egress_recorder.storage.rest import Answer


class OwnedObjects:
    """Objects at one place; the subclass sends requests and knows its vendor's answers."""

    NO_PLACE: ClassVar[str]
    """Code of an answer that says that bucket or container are missing."""
    _where: str
    _nonce_header: str
    """Header of the metadata entry that tells our own object from a foreign one."""

    def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: bytes | BinaryIO = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send an authorised request."""
        raise NotImplementedError

    def _code(self, answer: Answer) -> str:
        """Return the vendor's code of a fault, "" for none."""
        raise NotImplementedError

    def _check(self, answer: Answer, key: str) -> None:
        """Raise what an answer means that is no success."""
        raise NotImplementedError

    def read(self, key: str) -> bytes | None:
        """GET a small object; None when there is none."""
        answer = self._send("GET", key, {})
        if answer.status == 404 and self._code(answer) != self.NO_PLACE:
            return None
        self._check(answer, key)
        return answer.body

    def exists(self, key: str) -> bool:
        """HEAD the object. Raises AuthorizationError also where the credentials may only write."""
        return self._nonce_of(key) is not None

    def _is_ours(self, key: str, nonce: str) -> bool:
        """Return whether the object is there and our own; False as well where the credentials may only write."""
        with suppress(AuthorizationError):
            return self._nonce_of(key) == nonce
        return False

    def _is_done(self, key: str, nonce: str, *, overwrite: bool) -> bool:
        """Return whether the object has appeared already. Raises ObjectExistsError for a foreign one unless `overwrite`."""
        owner = None
        with suppress(AuthorizationError):  # only writing is allowed: the vendor's condition decides alone
            owner = self._nonce_of(key)
        if owner is not None and owner != nonce and not overwrite:
            raise ObjectExistsError(f"{self._where}: {key} exists already")
        return owner == nonce

    def _nonce_of(self, key: str) -> str | None:
        """Return the nonce of the object, "" when it has none, None when there is no object."""
        answer = self._send("HEAD", key, {})
        if answer.status == 404:
            return None
        self._check(answer, key)
        return answer.headers.get(self._nonce_header, "")
