"""Owns which bytes of a file are which part of its upload, and which part is due next. Pure.

A growing file is only appended to, except for its first bytes, which its end may change (`FileKind.rewritten`); a test
proves that for every type of file. So a part that is full is final, except part 1, which goes once more after the end;
it goes last, after the tail: an upload whose recorder died in between is still the fragmented file, and plays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MEBIBYTE = 1 << 20
PART_SIZE = 8 * MEBIBYTE
MAX_PARTS = 10_000
"""S3's limit, GCS' and OSS' as well; Azure takes more."""
EARLY_BYTES = 64 * 1024
"""Of a part that is not full yet, less than this is not worth a request."""
EARLY_SECONDS = 15.0
"""Between two sends after which a part goes although it is not full."""


@dataclass(frozen=True, slots=True)
class PartSizes:
    """`first`: bytes of part 1. After every `doubling` parts their size doubles; 0: all have the same."""

    first: int
    doubling: int = 0

    def length(self, number: int) -> int:
        """Return the bytes of a full part; numbers begin at 1."""
        return self.first << (number - 1) // self.doubling if self.doubling else self.first

    def offset(self, number: int) -> int:
        """Return where in the file a part begins."""
        if not self.doubling:
            return (number - 1) * self.first
        doublings, rest = divmod(number - 1, self.doubling)
        return self.first * (self.doubling * ((1 << doublings) - 1) + (rest << doublings))


GROWING = PartSizes(PART_SIZE, doubling=1000)
"""Of a file whose size nobody knows yet: 10 000 parts hold 7.8 TiB, more than S3's 5 TiB, no part more than 4 GiB (of 5).

The first 8 GB are of one size, which servers that know no other (Cloudflare R2) take too.
"""


@dataclass(frozen=True, slots=True)
class Send:
    """One part that is due: `length` bytes of the file from `offset` on."""

    number: int
    offset: int
    length: int


def while_growing(
    on_disk: int, stored: Mapping[int, int], sizes: PartSizes, *, waited: float | None
) -> Send | None:
    """Return what is to be sent of a file that has `on_disk` bytes and grows; None: nothing yet.

    `stored`: bytes of each part that the storage has. `waited`: seconds since the last send, None before the first. The
    newest part goes before it is full when that was long ago, and again when it has doubled: so a slow recording (sound)
    is in the storage as well, and no part costs three times its bytes.
    """
    number = 1
    while stored.get(number, 0) >= sizes.length(number):
        number += 1
    if number > MAX_PARTS:
        return None
    length, offset = sizes.length(number), sizes.offset(number)
    there = min(on_disk - offset, length)
    if there == length:
        return Send(number, offset, length)
    early = waited is None or waited >= EARLY_SECONDS
    if early and there >= max(EARLY_BYTES, 2 * stored.get(number, 0)):
        return Send(number, offset, there)
    return None


def after_the_end(
    size: int, stored: Mapping[int, int], sizes: PartSizes, *, head_is_old: bool
) -> Iterator[Send]:
    """Yield what is still to be sent of a closed file; the upload can be completed after it.

    `head_is_old`: part 1 was sent before the file's end, which has changed bytes of it.
    """
    for number in range(1, parts_of(size, sizes) + 1):
        offset = sizes.offset(number)
        length = min(sizes.length(number), size - offset)
        if stored.get(number) != length:
            yield Send(number, offset, length)
            head_is_old = head_is_old and number != 1
    if head_is_old:
        yield Send(1, 0, min(sizes.length(1), size))


def parts_of(size: int, sizes: PartSizes) -> int:
    """Return how many parts a file of so many bytes has; an empty one has one."""
    number = 1
    while sizes.offset(number + 1) < size:
        number += 1
    return number
