"""Owns the running of other programs: output kept, failures as one sentence with the end of what they said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_TAIL = 2000


class E2EError(RuntimeError):
    """Something of the end-to-end environment is missing or did not happen; the message says what to do."""


def run(
    *command: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command and return its standard output. Raises E2EError with the end of its output. Seconds."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=stdin, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise E2EError(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise E2EError(f"`{_short(words)}` did not end within {timeout:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-_TAIL:]
        raise E2EError(f"`{_short(words)}` ended with {done.returncode}: {said}")
    return done.stdout


def show(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a command whose output the user shall see. Raises E2EError."""
    words = [str(word) for word in command]
    try:
        code = subprocess.run(words, env=env, cwd=cwd, check=False).returncode
    except FileNotFoundError:
        raise E2EError(f"{words[0]} is not installed") from None
    if code:
        raise E2EError(f"`{_short(words)}` ended with {code}; its output is above")


def succeeds(*command: str | Path, env: Mapping[str, str] | None = None) -> bool:
    """Return whether a command exists and ends with 0."""
    try:
        run(*command, env=env, timeout=60)
    except E2EError:
        return False
    return True


def _short(words: Sequence[str]) -> str:
    return " ".join(words[:6]) + (" …" if len(words) > 6 else "")
