"""Owns the report as one self-contained HTML page: a filmstrip, what was due, and the sound of every case; pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from devstack.conformance.outcome import Outcome
from devstack.conformance.report import HEADINGS, headline, row, summary
from devstack.conformance.strip import THUMB_HEIGHT, Bar, Strip

_STYLE = Path(__file__).with_name("report.css")
COLOURS = ("#c08a3e", "#3f86c9", "#4a9d49")
"""Of the three variants, near to what the pictures show."""
SECOND = 80
"""Pixels; a thumbnail of 16:9 fits into it."""
_LEFT = 92
"""Pixels for the names of the lanes."""
_LANE = 14
_ENVELOPE = 56


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the page."""
    total = summary(outcomes)
    cells = "".join(_table_row(outcome) for outcome in outcomes)
    heads = "".join(f"<th>{escape(name)}</th>" for name in HEADINGS)
    colours = "".join(
        f'<span class="key"><i style="background:{colour}"></i>publisher variant {index}</span>'
        for index, colour in enumerate(COLOURS)
    )
    state = "bad" if total.failed else "good"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Conformance</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE.read_text()}</style></head><body>
<header><h1>Conformance</h1><p class="{state}">{escape(headline(total))}</p>
<p class="legend">{colours}
<span class="key"><i class="black"></i>black or silence is due</span>
<span class="key"><i class="grace"></i>grace window, not judged</span>
<span class="key"><i class="settling"></i>settling, only presence is judged</span></p></header>
<main><table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>
{"".join(_case(outcome) for outcome in outcomes)}</main></body></html>
"""


def _table_row(outcome: Outcome) -> str:
    name, verdict, *rest = row(outcome)
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    return (
        f'<tr class="{outcome.word.lower()}"><td><a href="#{escape(name)}">{escape(name)}</a></td>'
        f'<td class="verdict">{escape(verdict)}</td>{cells}</tr>'
    )


def _case(outcome: Outcome) -> str:
    case = outcome.case
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in outcome.problems)
    listed = f'<ul class="problems">{problems}</ul>' if problems else ""
    if outcome.skipped:
        listed = f'<p class="quiet">cannot run here: {escape(outcome.skipped)}</p>'
    drawn = "".join(_draw(strip) for strip in outcome.strips)
    none = "" if drawn or outcome.skipped else '<p class="quiet">no file, nothing to draw</p>'
    return f"""<section id="{escape(case.name)}" class="{outcome.word.lower()}">
<h2>{escape(case.name)} <span class="verdict">{outcome.word}</span></h2><p>{escape(case.proves)}</p>
{listed}{drawn}{none}</section>
"""


# ---- drawing -------------------------------------------------------------------------------------------------


def _draw(strip: Strip) -> str:
    width = _LEFT + strip.length * SECOND + 8
    parts: list[str] = []
    y = 0.0
    if strip.thumbs:
        parts += [_name("film", y + THUMB_HEIGHT / 2)]
        parts += [
            f'<image x="{_x(thumb.at) - thumb.width / 2:.1f}" y="{y}" width="{thumb.width}" height="{thumb.height}"'
            f' href="data:image/jpeg;base64,{thumb.jpeg}"/>'
            for thumb in strip.thumbs
        ]
        y += THUMB_HEIGHT + 6
    for kind, seen, names in (
        ("video", strip.seen, ("picture due", "picture seen")),
        ("audio", strip.heard, ("sound due", "sound heard")),
    ):
        due, graces, settling = (
            {key: value for key, value in lanes.items() if key == kind}
            for lanes in (strip.due, strip.graces, strip.settling)
        )
        parts.append(
            _lane(names[0], y, [bar for bars in due.values() for bar in bars], strip.length, due=True)
        )
        parts += [_shade(bar, y, strip.length, "settling") for bars in settling.values() for bar in bars]
        parts += [_shade(bar, y, strip.length, "grace") for bars in graces.values() for bar in bars]
        y += _LANE + 2
        parts.append(_lane(names[1], y, seen, strip.length))
        y += _LANE + 6
    parts.append(_envelope(strip, y))
    y += _ENVELOPE + 4
    parts.append(_seconds(strip.length, y))
    y += 16
    return f'<div class="strip"><svg width="{width:.0f}" height="{y:.0f}" viewBox="0 0 {width:.0f} {y:.0f}">{"".join(parts)}</svg></div>'


def _x(at: float) -> float:
    return _LEFT + at * SECOND


def _name(text: str, y: float) -> str:
    return f'<text class="lane" x="{_LEFT - 8}" y="{y:.1f}">{escape(text)}</text>'


def _lane(name: str, y: float, bars: Sequence[Bar], length: float, *, due: bool = False) -> str:
    parts = [
        _name(name, y + _LANE / 2),
        f'<rect class="track" x="{_LEFT}" y="{y}" width="{length * SECOND:.1f}" height="{_LANE}"/>',
    ]
    for bar in bars:
        if not bar.variants and due:
            parts.append(_rect(bar, y, length, height=_LANE, style='class="none"'))
        # Several that are heard at once share the lane's height; without a due list each has its own line.
        shown = bar.variants if due else (0, 1, 2)
        share = _LANE / max(1, len(shown))
        for position, variant in enumerate(shown):
            if variant in bar.variants:
                fill = f'fill="{COLOURS[variant]}"'
                parts.append(_rect(bar, y + position * share, length, height=share, style=fill))
    return "".join(parts)


def _rect(bar: Bar, y: float, length: float, *, height: float, style: str, title: str = "") -> str:
    begin, end = max(0.0, bar.begin), min(length, bar.end)
    if end <= begin:
        return ""
    text = title or f"{begin:.2f} to {end:.2f} s"
    return (
        f'<rect {style} x="{_x(begin):.1f}" y="{y:.1f}" width="{(end - begin) * SECOND:.1f}" height="{height:.1f}">'
        f"<title>{escape(text)}</title></rect>"
    )


def _shade(bar: Bar, y: float, length: float, kind: str) -> str:
    return _rect(bar, y, length, height=_LANE, style=f'class="{kind}"', title=f"{kind}: {bar.reason}")


def _envelope(strip: Strip, y: float) -> str:
    middle = y + _ENVELOPE / 2
    if not strip.envelope:
        return _name("no sound", middle)

    def height(level: float) -> float:
        # The tones are 36 dB below the beeps: a square root shows both.
        return float(min(1.0, (level / 0.5) ** 0.5)) * _ENVELOPE / 2

    points = strip.envelope
    upper = " ".join(f"{_x(at):.1f},{middle - height(left):.1f}" for at, left, _ in points)
    lower = " ".join(f"{_x(at):.1f},{middle + height(right):.1f}" for at, _, right in reversed(points))
    return (
        f"{_name('left', y + _ENVELOPE * 0.25)}{_name('right', y + _ENVELOPE * 0.75)}"
        f'<polygon class="envelope" points="{upper} {lower}"/>'
        f'<line class="axis" x1="{_LEFT}" x2="{_x(strip.length):.1f}" y1="{middle}" y2="{middle}"/>'
    )


def _seconds(length: float, y: float) -> str:
    return "".join(
        f'<line class="tick" x1="{_x(second):.1f}" x2="{_x(second):.1f}" y1="0" y2="{y:.0f}"/>'
        f'<text class="second" x="{_x(second):.1f}" y="{y + 11:.0f}">{second} s</text>'
        for second in range(int(length) + 1)
    )
