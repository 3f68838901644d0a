"""Owns work in a forked process: what it imports never stays in the memory of the process that asked."""

from __future__ import annotations

import os
from collections.abc import Callable

_FINE, _REFUSED = b"+", b"-"


def in_forked_process(work: Callable[[], str]) -> str:
    """Return what `work` returns, computed in a child. Raises ValueError with the child's words when it raises.

    Only while this process has no other thread: a fork copies locks as they are.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = _FINE + work().encode()
        except BaseException as error:  # noqa: BLE001 - the child must not return into its parent's code
            answer = _REFUSED + str(error).encode(errors="replace")
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if not answer.startswith(_FINE):
        raise ValueError(answer[1:].decode() or "the child process ended without an answer")
    return answer[1:].decode()
