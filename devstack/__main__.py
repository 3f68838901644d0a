"""Owns the commands ``python -m devstack build | up | env | down``."""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from devstack import build
from devstack.process import ProcessError, say
from devstack.stack import Stack

_ENV_FILE = "env.sh"
_DOWN_TIMEOUT = 60.0


class UsageError(Exception):
    """What was asked for is not possible now; the message says what to do."""


class _StoppedError(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP. Not an Exception: nothing on the way may take it for a failure."""


def main() -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build all servers once (cached)").add_argument("names", nargs="*")
    up = commands.add_parser("up", help="start everything and stay until Ctrl-C or `down`")
    up.add_argument("--no-operator", action="store_true", help="leave the operator out, to run it yourself")
    commands.add_parser(
        "env", help='print the exports of the running stack: eval "$(python -m devstack env)"'
    )
    commands.add_parser("down", help="end the running stack")
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "build":
                _build(arguments.names)
            case "up":
                _up(with_operator=not arguments.no_operator)
            case "env":
                _env()
            case "down":
                _down()
    except (build.BuildError, ProcessError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (_StoppedError, KeyboardInterrupt):
        return 130
    return 0


def directory() -> Path:
    """Return where the stack of `up` keeps data and logs, until the next `up`."""
    return build.cache_directory() / "up"


def _build(names: list[str]) -> None:
    known = build.SERVERS | build.TOOLS
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    for path in build.ensure(*names).values():
        say(str(path))


def _up(*, with_operator: bool) -> None:
    with _only_one():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        build.ensure()
        shutil.rmtree(directory(), ignore_errors=True)
        directory().mkdir(parents=True, mode=0o700)
        stack = Stack(directory(), with_operator=with_operator)
        try:
            stack.start()
            stack.prepare_namespace("default")
            _print_exports(stack)
            _watch(stack)
        except _StoppedError:
            say("ending everything")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            stack.stop()
            (directory() / _ENV_FILE).unlink(missing_ok=True)
        say("nothing is left running")


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _StoppedError(signal.Signals(number).name)


def _print_exports(stack: Stack) -> None:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in stack.exports().items()]
    lines.append(f"export PATH={shlex.quote(str(stack.tools))}:$PATH")
    file = directory() / _ENV_FILE
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")
    say("\nThe stack is up. In another terminal:\n")
    say('  eval "$(python -m devstack env)"\n  kubectl get egress')
    say("\nor by hand:\n\n" + "\n".join(f"  {line}" for line in lines))
    say("\nNamespace default has the Secret s3-credentials and the claim recordings.")
    say(f"Logs lie in {stack.directory}. Ctrl-C or `python -m devstack down` ends everything.")


def _watch(stack: Stack) -> None:
    """Stay until a signal comes; report servers that end by themselves once each."""
    reported: set[str] = set()
    never = threading.Event()
    while True:
        for name, log in stack.ended():
            if name not in reported:
                reported.add(name)
                say(f"{name} ended by itself; the end of its log:\n{log}")
        never.wait(2)


def _env() -> None:
    file = directory() / _ENV_FILE
    if _running_pid() is None or not file.exists():
        raise UsageError("no stack is up: start one with `python -m devstack up` in another terminal")
    print(file.read_text(), end="")


def _down() -> None:
    pid = _running_pid()
    if pid is None:
        say("no stack is up")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_TIMEOUT
    while _running_pid() == pid:
        if time.monotonic() > deadline:
            raise UsageError(f"the stack (PID {pid}) did not end within {_DOWN_TIMEOUT:.0f} s")
        time.sleep(0.1)
    say("the stack is down")


# The lock is held as long as the process lives, so a PID in the file is never a stranger's.


@contextmanager
def _only_one() -> Iterator[None]:
    path = _lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("a stack is up already: `python -m devstack down` ends it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _running_pid() -> int | None:
    path = _lock_path()
    if not path.exists():
        return None
    with path.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = lock.read()
            return int(text) if text else None
    return None


def _lock_path() -> Path:
    return build.cache_directory() / "up.lock"


if __name__ == "__main__":
    sys.exit(main())
