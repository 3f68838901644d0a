"""Owns the receivers of streams that tests and benchmarks use: nginx with its rtmp module, and an SRT listener.

Both are Debian's: `apt-get install libnginx-mod-rtmp srt-tools`. What arrives is kept in files to be decoded.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

NGINX = ("/usr/sbin/nginx", "/usr/lib/nginx/modules/ngx_rtmp_module.so")
MISSING_RTMP = "nginx with its rtmp module is not installed: apt-get install libnginx-mod-rtmp"
MISSING_SRT = "srt-live-transmit is not installed: apt-get install srt-tools"
_CONFIG = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log info;
load_module {module};
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096;
  application live {{ live on; record all; record_path {dir}; record_unique on; record_suffix .flv; }} }} }}
"""


def has_rtmp() -> bool:
    """Return whether nginx and its module are installed."""
    return all(Path(path).exists() for path in NGINX)


def has_srt() -> bool:
    """Return whether the SRT tools are installed."""
    return shutil.which("srt-live-transmit") is not None


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Receiver:
    """One process that takes streams; may be stopped, killed and started again on the same port."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it; returns when it can be connected to, as far as that can be seen."""
        with (self.directory / "receiver.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)

    def pause(self) -> None:
        """Let it stop reading."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it read again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def finish(self) -> None:
        """Let it end in good order: SRT's writes the last 4 kB only then."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def recordings(self) -> list[Path]:
        """Return what arrived, oldest first."""
        found = [path for path in self.directory.iterdir() if path.suffix in {".flv", ".ts"}]
        return sorted((path for path in found if path.stat().st_size), key=lambda path: path.stat().st_mtime)


class RtmpReceiver(Receiver):
    """nginx: `rtmp://127.0.0.1:port/live/KEY` becomes a .flv file."""

    def command(self) -> list[str]:
        """Write the configuration and return the command."""
        config = self.directory / "nginx.conf"
        config.write_text(_CONFIG.format(dir=self.directory, module=NGINX[1], port=self.port))
        return [
            NGINX[0],
            "-c",
            str(config),
            "-p",
            str(self.directory),
            "-e",
            str(self.directory / "error.log"),
        ]

    def start(self) -> None:
        """Start it and wait until it listens."""
        super().start()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError((self.directory / "receiver.log").read_text())

    def url(self, key: str) -> str:
        """Return the URL of a stream."""
        return f"rtmp://127.0.0.1:{self.port}/live/{key}"


class SrtReceiver(Receiver):
    """A listener: `srt://127.0.0.1:port` becomes one .ts file per start. It takes one stream at a time."""

    _count = 0

    def __init__(self, directory: Path, port: int, parameters: str = "") -> None:
        """`parameters`: further ones of the listener's URL, `name=value` joined by `&`, such as its passphrase."""
        super().__init__(directory, port)
        self._parameters = "&".join(filter(None, ("mode=listener", parameters)))

    def command(self) -> list[str]:
        """Return the command."""
        return [
            "srt-live-transmit",
            "-q",
            "-a:yes",
            f"srt://127.0.0.1:{self.port}?{self._parameters}",
            "file://con",
        ]

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._count += 1
        with (
            (self.directory / f"{self._count}.ts").open("wb") as media,
            (self.directory / "receiver.log").open("ab") as log,
        ):
            self._process = subprocess.Popen(self.command(), stdout=media, stderr=log)
        for _ in range(200):
            if f":{self.port:04X} " in Path("/proc/net/udp").read_text():
                return
            time.sleep(0.05)
        raise RuntimeError((self.directory / "receiver.log").read_text())

    def url(self, streamid: str = "") -> str:
        """Return the URL of a stream."""
        return f"srt://127.0.0.1:{self.port}" + (f"?streamid={streamid}" if streamid else "")
