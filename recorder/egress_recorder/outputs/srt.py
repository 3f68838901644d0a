"""Owns the SRT connection of a stream's process: libsrt by ctypes, as a file that a muxer writes to.

FFmpeg in PyAV's wheels has no SRT. The library is Debian's `libsrt1.5-openssl`; the recorder's image has it. ctypes
releases the GIL, and the process is killed from outside when nothing goes on, so that no call needs a limit of its own
but the connection's.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
import struct
import time
from urllib.parse import parse_qsl, urlsplit

LIBRARIES = ("libsrt.so.1.5", "libsrt-gnutls.so.1.5")
CHUNK = 1316
"""Bytes of one datagram: seven packets of MPEG-TS, SRT's own size in live mode."""
CONNECT_MS = 5000
_STREAMID, _PASSPHRASE, _PBKEYLEN, _LATENCY, _CONNTIMEO, _SNDDATA = 46, 26, 27, 23, 36, 19
_SENDER, _PEERLATENCY = 21, 44
"""`SRT_SOCKOPT` of srt.h."""
_TIMED_OUT = 16
_REFUSALS = {
    10: "the passphrase is not the receiver's",
    11: "the receiver wants a passphrase, or the URL has one and the receiver has none",
}
"""`SRT_REJECT_REASON` of srt.h; libsrt itself says "connection rejected" of all."""
_LINGER = 2.0
_HANDED_ON = 0.05
"""Seconds beyond the latency."""


class SrtError(ConnectionError):
    """What libsrt says; never holds the URL."""


def _library() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.srt_getlasterror_str.restype = ctypes.c_char_p
        library.srt_rejectreason_str.restype = ctypes.c_char_p
        return library
    raise SrtError("libsrt is not installed: apt-get install libsrt1.5-openssl")


class SrtSocket:
    """A caller's connection; `write` sends, `close` waits a moment for what is on its way. Raises SrtError."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        self._srt = _library()
        self._srt.srt_startup()
        self._socket = self._srt.srt_create_socket()
        self._number(_CONNTIMEO, CONNECT_MS)
        # Without it the receiver's length of the key overrides `pbkeylen`.
        self._number(_SENDER, 1)
        if "latency" in options:
            self._number(_LATENCY, int(options["latency"]))
        if "pbkeylen" in options:
            self._number(_PBKEYLEN, int(options["pbkeylen"]))
        for name, option in (("passphrase", _PASSPHRASE), ("streamid", _STREAMID)):
            if options.get(name):
                text = options[name].encode()
                self._check(self._srt.srt_setsockflag(self._socket, option, text, len(text)))
        assert parts.hostname is not None
        address = _address(parts.hostname, parts.port or 0)
        if self._srt.srt_connect(self._socket, address, len(address)) < 0:
            raise SrtError(": ".join(filter(None, (self._words(), self._refusal()))))

    def write(self, data: bytes) -> int:
        """Send some bytes."""
        view = bytes(data)
        for start in range(0, len(view), CHUNK):
            piece = view[start : start + CHUNK]
            self._check(self._srt.srt_sendmsg2(self._socket, piece, len(piece), None))
        return len(view)

    def close(self) -> None:
        """Close when what was sent has arrived and was handed on there, at most after 2 s."""
        until = time.monotonic() + _LINGER
        while time.monotonic() < until and self._flag(_SNDDATA):
            time.sleep(0.02)
        # A receiver keeps what has arrived for its latency, and forgets it when it hears of the end.
        latency = self._flag(_PEERLATENCY) / 1000 + _HANDED_ON
        time.sleep(max(0.0, min(latency, until - time.monotonic())))
        self._srt.srt_close(self._socket)

    def _flag(self, option: int) -> int:
        """Return a number, 0 when the connection is over."""
        value, size = ctypes.c_int(0), ctypes.c_int(4)
        answer = self._srt.srt_getsockflag(self._socket, option, ctypes.byref(value), ctypes.byref(size))
        return 0 if answer < 0 else value.value

    def _number(self, option: int, value: int) -> None:
        number = ctypes.c_int(value)
        self._check(self._srt.srt_setsockflag(self._socket, option, ctypes.byref(number), 4))

    def _check(self, answer: int) -> None:
        if answer < 0:
            raise SrtError(self._words())

    def _words(self) -> str:
        words = self._srt.srt_getlasterror_str() or b"failed"
        return f"SRT: {words.decode(errors='replace')}"

    def _refusal(self) -> str:
        """Return why the receiver refused, "" when it did not answer."""
        reason = int(self._srt.srt_getrejectreason(self._socket))
        if reason in {0, _TIMED_OUT}:
            return ""
        words = self._srt.srt_rejectreason_str(reason) or b"unknown reason"
        return _REFUSALS.get(reason, f"{words.decode(errors='replace')} ({reason})")


def _address(host: str, port: int) -> bytes:
    """Return the `struct sockaddr` of a host. Raises SrtError when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError:
        raise SrtError("the name of the SRT receiver's host is not known") from None
    family, _, _, _, where = found[0]
    address = socket.inet_pton(family, str(where[0]))
    if family == socket.AF_INET6:
        return struct.pack("=HH", family, socket.htons(port)) + bytes(4) + address + bytes(4)
    return struct.pack("=HH", family, socket.htons(port)) + address + bytes(8)
