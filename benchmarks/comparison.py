"""Owns the comparison of the recorder with the baseline: sums, ratio, and which targets are not met; measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from measured import Memory
from quality import Quality

MAX_RATIO, MAX_PSNR_LOSS, MAX_MISSING_PCT = 0.7, 1.5, 3.0


@dataclass
class Side:
    """The results of one contestant with one codec."""

    name: str
    cpu_seconds: float = 0.0
    media_seconds: float = 0.0
    memory: Memory = field(default_factory=Memory)
    qualities: list[Quality] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """CPU seconds per second of the file."""
        return self.cpu_seconds / self.media_seconds

    @property
    def psnr(self) -> float:
        """Mean of the rounds, dB."""
        return sum(item.psnr for item in self.qualities) / len(self.qualities)

    @property
    def missing_pct(self) -> float:
        """Mean of the rounds."""
        return sum(item.missing_pct for item in self.qualities) / len(self.qualities)

    def add(self, path: Path, cpu_seconds: float, result: Quality) -> None:
        """Add one round."""
        self.qualities.append(result)
        self.cpu_seconds += cpu_seconds
        self.media_seconds += result.duration
        print(
            f"  {self.name:9} {path.stem}: {cpu_seconds / result.duration:.3f} CPU s/s, PSNR-Y {result.psnr:.2f} dB,"
            f" {result.duration:.1f} s, {result.kbps:.0f} kbit/s, {result.missing_pct:.2f} % missing",
            flush=True,
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both contestants with one codec."""

    codec: str
    ours: Side
    baseline: Side

    @property
    def ratio(self) -> float:
        """Recorder's CPU over GStreamer's."""
        return self.ours.cpu / self.baseline.cpu

    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.codec}: recorder {self.ours.cpu:.3f} CPU s/s, GStreamer {self.baseline.cpu:.3f}, ratio {self.ratio:.2f};"
            f" PSNR-Y {self.ours.psnr:.2f} and {self.baseline.psnr:.2f} dB ({self.ours.psnr - self.baseline.psnr:+.2f});"
            f" {self.ours.memory}"
        )

    def problems(self) -> list[str]:
        """Return which targets are not met."""
        found = []
        if self.ratio > MAX_RATIO:
            found.append(
                f"{self.codec}: the CPU ratio to GStreamer is {self.ratio:.2f}, allowed is {MAX_RATIO}"
            )
        if self.ours.psnr < self.baseline.psnr - MAX_PSNR_LOSS:
            loss = self.baseline.psnr - self.ours.psnr
            found.append(
                f"{self.codec}: PSNR is {loss:.2f} dB below GStreamer's, allowed are {MAX_PSNR_LOSS} dB"
            )
        found.extend(
            f"{self.codec}: {side.missing_pct:.1f} % of the frames are missing at {side.name}, which flatters its CPU figure:"
            " repeat on an idle machine"
            for side in (self.ours, self.baseline)
            if side.missing_pct > MAX_MISSING_PCT
        )
        return found
