"""Owns the arithmetic coder for one thing: slice data in which every macroblock is skipped (ITU-T H.264, 9.3). Pure.

Only the more probable symbol and the terminating one are ever coded, so that of the coder's tables one corner is enough.
"""

from __future__ import annotations

from functools import cache

_SKIP_CONTEXT = (23, 33)
"""m and n of ctxIdx 11, `mb_skip_flag` of P slices, cabac_init_idc 0 (table 9-13). Neighbours are skipped: always this one."""
_FIRST_STATE = 42
_LPS_RANGES = (
    (16, 20, 23, 27), (15, 19, 22, 25), (14, 18, 21, 24), (14, 17, 20, 23), (13, 16, 19, 22), (12, 15, 18, 21),
    (12, 14, 17, 20), (11, 14, 16, 19), (11, 13, 15, 18), (10, 12, 15, 17), (10, 12, 14, 16), (9, 11, 13, 15),
    (9, 11, 12, 14), (8, 10, 12, 14), (8, 9, 11, 13), (7, 9, 11, 12), (7, 9, 10, 12), (7, 8, 10, 11),
    (6, 8, 9, 11), (6, 7, 9, 10), (6, 7, 8, 9),
)  # fmt: skip
"""rangeTabLPS of the states 42 to 62 (table 9-44)."""


@cache
def all_skipped(macroblocks: int, qp: int) -> bytes:
    """Return the slice data of `macroblocks` skipped ones, from the byte-aligned beginning to the trailing bits.

    Raises ValueError for a QP at which the coder does not expect skipping enough.
    """
    m, n = _SKIP_CONTEXT
    state = min(max(((m * qp) >> 4) + n, 1), 126) - 64
    if state < _FIRST_STATE:
        raise ValueError(f"QP {qp} is too small: this coder knows the upper states only")
    coder = _Coder()
    for number in range(macroblocks):
        state = coder.expected(state)
        coder.terminate(last=number == macroblocks - 1)
    return coder.bytes()


class _Coder:
    def __init__(self) -> None:
        self._low, self._range = 0, 510
        self._outstanding, self._first = 0, True
        self._bits: list[str] = []

    def expected(self, state: int) -> int:
        """Code the more probable symbol; return the next state (9.3.4.2)."""
        self._range -= _LPS_RANGES[state - _FIRST_STATE][(self._range >> 6) & 3]
        self._renormalise()
        return min(state + 1, 62)

    def terminate(self, *, last: bool) -> None:
        """Code `end_of_slice_flag`; the last one flushes the coder (9.3.4.5)."""
        self._range -= 2
        if not last:
            self._renormalise()
            return
        self._low += self._range
        self._range = 2
        self._renormalise()
        self._put(self._low >> 9 & 1)
        # The final 1 is rbsp_stop_one_bit already.
        self._bits.append(f"{(self._low >> 7 & 3) | 1:02b}")

    def bytes(self) -> bytes:
        """Return what was written, filled up with zeros."""
        text = "".join(self._bits)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8)

    def _renormalise(self) -> None:
        while self._range < 256:
            if self._low < 256:
                self._put(0)
            elif self._low >= 512:
                self._low -= 512
                self._put(1)
            else:
                self._low -= 256
                self._outstanding += 1
            self._range <<= 1
            self._low <<= 1

    def _put(self, bit: int) -> None:
        if self._first:
            self._first = False
        else:
            self._bits.append(str(bit))
        if self._outstanding:
            self._bits.append(str(1 - bit) * self._outstanding)
            self._outstanding = 0
