"""Labels for the boards of a batch, as a sheet to print: a QR code with id and serial, and what a person can read.

No secret is on a label: whoever reads one learns what the device says of itself anyway. A sheet is an A4 page in
millimetres, from the upper left; SVG and PDF draw the same. SVG leaves the fonts to the program that shows it. A PDF
has the standard ones of PDF for western letters, and for others a part of a font that is installed here.
"""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import segno

from fleetmint import choices
from fleetmint.errors import FleetmintError

if TYPE_CHECKING:
    from fpdf import FPDF

FORMATS = choices.LABEL_FORMATS
COLUMNS = ("device", "serial", "product", "hardware", "mac", "qr")
PAGE_WIDTH, PAGE_HEIGHT, MARGIN = 210.0, 297.0, 8.0
# Blank around the content of a label; the code's own quiet zone (ISO/IEC 18004: four modules) comes on top.
_PADDING = 1.0
_QUIET = 4
# A module smaller than this is lost on an ordinary printer or for an ordinary phone.
SMALLEST_MODULE = 0.3
# Letters of this height, in millimetres, are read with effort: 3 points.
SMALLEST_TEXT = 1.0
_POINTS = 72 / 25.4
_TALLEST_TEXT = 3.2
_LINE = 1.25
# Where the font is not known: letters are hardly wider than this part of their height, ideographs as wide as high.
_WIDE_LETTER, _WIDE_IDEOGRAPH = 0.62, 1.0
# What the standard fonts of a PDF can print; `€` and the quotation marks are beyond Latin-1.
_WESTERN = "cp1252"
# Fonts for the rest, by the names of their files. Debian has them in fonts-dejavu-core (Latin, Greek, Cyrillic) and
# fonts-wqy-microhei (those, and Chinese, Japanese and Korean).
_FONT_DIRECTORY = Path("/usr/share/fonts")
_FONTS = ("DejaVuSans.ttf", "wqy-microhei.ttc")


@dataclass(frozen=True)
class Size:
    """Width and height of a label in millimetres."""

    width: float
    height: float

    @classmethod
    def parse(cls, text: str) -> Size:
        """Return the size written as 50x25; raise FleetmintError for what no page can hold."""
        parts = text.lower().split("x")
        try:
            width, height = (float(part) for part in parts)
        except ValueError:
            raise FleetmintError(f"{text!r} is no size of a label: write it in millimetres, such as 50x25") from None
        if not (10 <= width <= PAGE_WIDTH - 2 * MARGIN and 8 <= height <= PAGE_HEIGHT - 2 * MARGIN):
            raise FleetmintError(f"a label of {text} mm does not fit on an A4 page, or is too small to print")
        return cls(width, height)


@dataclass(frozen=True)
class Label:
    """What is on one label: the content of the code, and lines of text, the first of them bold."""

    code: str
    lines: tuple[str, ...]


def label(row: Mapping[str, str]) -> Label:
    """Return the label of a device, from its row in the overview of the batch."""
    name = " ".join(part for part in (row["product"], row["hardware"]) if part)
    serial = f"serial {row['serial']}" if row["serial"] else ""
    lines = (row["device"], name, serial, row["mac"])
    # letters with their accents, as fonts have them
    return Label(code_of(row), tuple(unicodedata.normalize("NFC", line) for line in lines if line))


def code_of(row: Mapping[str, str]) -> str:
    """Return what the code says: the id, and the serial behind a space if there is one. Neither can hold a space."""
    return f"{row['device']} {row['serial']}".strip()


def table(rows: Iterable[Mapping[str, str]]) -> bytes:
    """Return the labels as CSV, for a program that prints them."""
    made = io.StringIO()
    writer = csv.DictWriter(made, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**row, "qr": code_of(row)} for row in rows)
    return made.getvalue().encode()


def pdf(labels: Sequence[Label], size: Size) -> bytes:
    """Return the sheet as PDF: as many pages as it takes; FleetmintError for letters that no font here has."""
    from fpdf import FPDF  # it takes long to import

    sheet = FPDF(unit="mm", format=(PAGE_WIDTH, PAGE_HEIGHT))
    sheet.core_fonts_encoding = _WESTERN
    sheet.set_auto_page_break(False)
    fonts = _Fonts(sheet)
    try:
        for page in _pages(labels, size):
            sheet.add_page()
            for number, each in enumerate(page):
                _pdf_label(sheet, fonts, each, size, *_corner(number, size))
        return bytes(sheet.output())
    finally:
        fonts.close()


def _pdf_label(sheet: FPDF, fonts: _Fonts, each: Label, size: Size, x: float, y: float) -> None:
    runs, module = _code(each, size)
    for column, row, length in runs:
        place = (x + _PADDING + column * module, y + _PADDING + row * module)
        sheet.rect(*place, length * module, module, style="F")

    def width(number: int, line: str) -> float:
        fonts.choose(number, line)
        sheet.set_font_size(_POINTS)  # a letter of a millimetre
        return float(sheet.get_string_width(line))

    for number, (line, left, top, height) in enumerate(_text(each, size, width)):
        fonts.choose(number, line)
        sheet.set_font_size(height * _POINTS)
        sheet.text(x + left, y + top, line)


class _Fonts:
    """The fonts of a sheet: the standard ones, and those that other letters need, read when the first comes."""

    def __init__(self, sheet: FPDF) -> None:
        self._sheet = sheet
        self._families: dict[str, str] = {}

    def choose(self, number: int, line: str) -> None:
        """Set the font of a line of a label, the first of which is bold."""
        if _is_western(line):
            self._sheet.set_font("helvetica", "B" if number == 0 else "")
            return
        if line not in self._families:
            self._families[line] = self._family(line)
        self._sheet.set_font(self._families[line])

    def close(self) -> None:
        """Close the files of the fonts, which a sheet that is refused would leave open."""
        from fpdf.fonts import TTFFont

        for font in self._sheet.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()

    def _family(self, line: str) -> str:
        """Return the font that has every letter of a line."""
        lacking = {each for each in line if _needs_shaping(each)}
        if not lacking:
            lacking = set(line)
            for name in _FONTS:
                lacking = min(lacking, {each for each in line if ord(each) not in self._letters(name)}, key=len)
                if not lacking:
                    return name
        letters = ", ".join(f"{each} (U+{ord(each):04X})" for each in sorted(lacking)[:5])
        raise FleetmintError(
            f"no font here can print {letters} of {line!r} into a PDF: make the sheet with --format svg; for Cyrillic,"
            " Greek, Chinese, Japanese and Korean the Debian package fonts-wqy-microhei has one"
        )

    def _letters(self, name: str) -> Container[int]:
        """Return what a font has, none if it is not installed."""
        from fpdf.fonts import TTFFont

        if name.lower() not in self._sheet.fonts and (found := sorted(_FONT_DIRECTORY.rglob(name))):
            self._sheet.add_font(name, fname=found[0])
        font = self._sheet.fonts.get(name.lower())
        return font.cmap if isinstance(font, TTFFont) else ()


def _is_western(line: str) -> bool:
    try:
        line.encode(_WESTERN)
    except UnicodeEncodeError:
        return False
    return True


def _needs_shaping(letter: str) -> bool:
    """Whether a letter takes its form or place from its neighbours, which a plain font does not give it."""
    return unicodedata.bidirectional(letter) in ("R", "AL", "AN") or unicodedata.category(letter)[0] in "MC"


def svg(labels: Sequence[Label], size: Size) -> bytes:
    """Return the sheet as one SVG, as tall as it takes."""
    across = _across(size)
    rows = -(-len(labels) // across)
    tall = 2 * MARGIN + rows * size.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PAGE_WIDTH:g}mm" height="{tall:g}mm"'
        f' viewBox="0 0 {PAGE_WIDTH:g} {tall:g}" font-family="Helvetica, Arial, sans-serif">'
    ]
    for number, each in enumerate(labels):
        parts.append(_svg_label(each, size, *_corner(number, size)))
    return "\n".join([*parts, "</svg>\n"]).encode()


def _svg_label(each: Label, size: Size, x: float, y: float) -> str:
    runs, module = _code(each, size)
    path = "".join(f"M{left} {top}h{length}v1h-{length}z" for left, top, length in runs)
    moved = f'transform="translate({x + _PADDING:.3f} {y + _PADDING:.3f}) scale({module:.4f})"'
    texts = []
    for number, (line, left, top, height) in enumerate(_text(each, size, _estimated)):
        weight = ' font-weight="bold"' if number == 0 else ""
        place = f'x="{x + left:.3f}" y="{y + top:.3f}" font-size="{height:.3f}"'
        texts.append(f"<text {place}{weight}>{escape(line)}</text>")
    return "\n".join([f'<path {moved} d="{path}"/>', *texts])


def _across(size: Size) -> int:
    return int((PAGE_WIDTH - 2 * MARGIN) // size.width)


def _corner(number: int, size: Size) -> tuple[float, float]:
    """Return where a label of a page begins."""
    across = _across(size)
    return MARGIN + number % across * size.width, MARGIN + number // across * size.height


def _pages(labels: Sequence[Label], size: Size) -> Iterator[Sequence[Label]]:
    each = _across(size) * int((PAGE_HEIGHT - 2 * MARGIN) // size.height)
    for start in range(0, len(labels), each):
        yield labels[start : start + each]


def _code(each: Label, size: Size) -> tuple[list[tuple[int, int, int]], float]:
    """Return the dark runs of the code (left, top, length, in modules) and the size of a module in millimetres."""
    # Level M (15 % may be lost) as on most labels; a higher one for nothing where it fits into the same size.
    matrix = segno.make_qr(each.code, error="m").matrix
    module = _side(size) / (len(matrix) + 2 * _QUIET)
    if module < SMALLEST_MODULE:
        least = SMALLEST_MODULE * (len(matrix) + 2 * _QUIET) + 2 * _PADDING
        raise FleetmintError(
            f"the code of {each.lines[0]} cannot be read on a label of {size.width:g}x{size.height:g} mm: make it"
            f" {least:.0f} mm high at least, and twice as wide"
        )
    runs = []
    for top, row in enumerate(matrix):
        left = 0
        while left < len(row):
            length = 1
            while left + length < len(row) and row[left + length] == row[left]:
                length += 1
            if row[left]:
                runs.append((left + _QUIET, top + _QUIET, length))
            left += length
    return runs, module


def _text(each: Label, size: Size, width: Callable[[int, str], float]) -> Iterator[tuple[str, float, float, float]]:
    """Yield each line with the place of its base line and its height, so that it stays within the label.

    `width` gives that of a line, by its number, where letters are 1 high.
    """
    left = _PADDING + _side(size)
    wide = size.width - left - _PADDING
    tallest = min(_TALLEST_TEXT, (size.height - 2 * _PADDING) / (_LINE * len(each.lines)))
    top = _PADDING + (size.height - 2 * _PADDING - tallest * _LINE * len(each.lines)) / 2
    for number, line in enumerate(each.lines):
        height = min(tallest, wide / width(number, line))
        # the id may be smaller: the code says it, too
        if height < SMALLEST_TEXT and number:
            least = math.ceil(size.height + SMALLEST_TEXT * width(number, line))
            wider = f", or make the label {least} mm wide" if least <= PAGE_WIDTH - 2 * MARGIN else ""
            raise FleetmintError(
                f"{line!r} cannot be read on a label of {size.width:g}x{size.height:g} mm, where its letters would be"
                f" {height:.1f} mm high: shorten it{wider}"
            )
        yield line, left, top + tallest * (_LINE * number + 1), height


def _estimated(_number: int, line: str) -> float:
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in line)
    return wide * _WIDE_IDEOGRAPH + (len(line) - wide) * _WIDE_LETTER


def _side(size: Size) -> float:
    """The side of the code with its quiet zone; half of the label at most, the other half is for the text."""
    return min(size.height - 2 * _PADDING, size.width / 2)
