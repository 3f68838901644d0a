"""Owns the reading of a destination's Secret, which is mounted as a directory with one file per key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from egress_recorder.destinations import Proxy
from egress_recorder.errors import AuthorizationError, ConfigurationError
from egress_recorder.redact import remember


class SecretFiles:
    """One directory below the credentials root. What it gives is masked in logs and errors from then on."""

    def __init__(self, root: Path | None, name: str, *, where: str) -> None:
        if root is None or "/" in name or name in {"", ".", ".."}:
            raise ConfigurationError(
                f"{where}: the credentials {name!r} are no directory below --credentials-root"
            )
        self._directory = root / name
        self._where = where

    def values(self, fields: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Return what is there of the fields, each read from the first of its names that is a file."""
        found: dict[str, str] = {}
        for field, names in fields.items():
            for name in names:
                with suppress(FileNotFoundError):
                    found.setdefault(field, self.read(name))
        return found

    def all(self) -> dict[str, str]:
        """Return all keys of the Secret; the `..data` links of a mounted one are no keys."""
        try:
            names = sorted(path.name for path in self._directory.iterdir() if not path.name.startswith(".."))
        except OSError as error:
            raise AuthorizationError(
                f"{self._where}: the credentials Secret cannot be read ({type(error).__name__})"
            ) from error
        return {name: self.read(name) for name in names}

    def read(self, name: str) -> str:
        """Return one key's text. Raises FileNotFoundError, and AuthorizationError for an unreadable one."""
        try:
            text = (self._directory / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise
        except (OSError, UnicodeError) as error:
            raise AuthorizationError(
                f"{self._where}: {name} of the credentials Secret cannot be read ({type(error).__name__})"
            ) from error
        remember(text)
        return text


def proxy_password(proxy: Proxy, root: Path | None, *, where: str) -> str:
    """Return the proxy's password, "" when none is named. Raises AuthorizationError when its key is missing."""
    if not proxy.credentials:
        return ""
    try:
        return SecretFiles(root, proxy.credentials, where=f"{where}.proxy").read(proxy.password_key)
    except FileNotFoundError:
        raise AuthorizationError(
            f"{where}.proxy: the Secret of passwordSecretRef has no key {proxy.password_key!r}: add it or name "
            "another in passwordSecretRef.key"
        ) from None
