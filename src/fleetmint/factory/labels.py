"""Labels for the boards of a batch, as a sheet to print: a QR code with id and serial, and what a person can read.

No secret is on a label: whoever reads one learns what the device says of itself anyway. A sheet is an A4 page in
millimetres, from the upper left; SVG and PDF draw the same. The PDF (ISO 32000-1) is our own: rectangles and one of its
standard fonts need no library.
"""

import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import segno

from fleetmint import choices
from fleetmint.errors import FleetmintError

FORMATS = choices.LABEL_FORMATS
COLUMNS = ("device", "serial", "product", "hardware", "mac", "qr")
PAGE_WIDTH, PAGE_HEIGHT, MARGIN = 210.0, 297.0, 8.0
# Blank around the content of a label; the code's own quiet zone (ISO/IEC 18004: four modules) comes on top.
_PADDING = 1.0
_QUIET = 4
# A module smaller than this is lost on an ordinary printer or for an ordinary phone.
SMALLEST_MODULE = 0.3
_POINT = 72 / 25.4
_TALLEST_TEXT = 3.2
_LINE = 1.25
# No glyph of Helvetica that ids are made of is wider than this part of its height, in the bold face.
_WIDEST = 0.62


@dataclass(frozen=True)
class Size:
    """Width and height of a label in millimetres."""

    width: float
    height: float

    @classmethod
    def parse(cls, text: str) -> "Size":
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
    return Label(code_of(row), tuple(line for line in lines if line))


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
    """Return the sheet as PDF: as many pages as it takes. Text outside of Latin-1 is printed as question marks."""
    pages = [_pdf_page(page, size) for page in _pages(labels, size)]
    first = 5
    kids = " ".join(f"{first + 2 * number} 0 R" for number in range(len(pages)))
    fonts = "<</F 3 0 R/B 4 0 R>>"
    box = f"[0 0 {PAGE_WIDTH * _POINT:.2f} {PAGE_HEIGHT * _POINT:.2f}]"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]/MediaBox{box}/Resources<</Font{fonts}>>>>".encode(),
        *(
            f"<</Type/Font/Subtype/Type1/BaseFont/{name}/Encoding/WinAnsiEncoding>>".encode()
            for name in ("Helvetica", "Helvetica-Bold")
        ),
    ]
    for number, content in enumerate(pages):
        packed = zlib.compress(content)
        objects.append(f"<</Type/Page/Parent 2 0 R/Contents {first + 2 * number + 1} 0 R>>".encode())
        head = f"<</Length {len(packed)}/Filter/FlateDecode>>stream\n".encode()
        objects.append(head + packed + b"\nendstream")
    return _pdf_file(objects)


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
        x, y = MARGIN + number % across * size.width, MARGIN + number // across * size.height
        parts.append(_svg_label(each, size, x, y))
    return "\n".join([*parts, "</svg>\n"]).encode()


def _svg_label(each: Label, size: Size, x: float, y: float) -> str:
    runs, module = _code(each, size)
    path = "".join(f"M{left} {top}h{length}v1h-{length}z" for left, top, length in runs)
    moved = f'transform="translate({x + _PADDING:.3f} {y + _PADDING:.3f}) scale({module:.4f})"'
    texts = []
    for number, (line, left, top, height) in enumerate(_text(each, size)):
        weight = ' font-weight="bold"' if number == 0 else ""
        place = f'x="{x + left:.3f}" y="{y + top:.3f}" font-size="{height:.3f}"'
        texts.append(f"<text {place}{weight}>{escape(line)}</text>")
    return "\n".join([f'<path {moved} d="{path}"/>', *texts])


def _pdf_page(page: Sequence[Label], size: Size) -> bytes:
    across = _across(size)
    # millimetres from the upper left, as everything here; text is turned back
    parts = [f"{_POINT:.6f} 0 0 -{_POINT:.6f} 0 {PAGE_HEIGHT * _POINT:.3f} cm"]
    for number, each in enumerate(page):
        x, y = MARGIN + number % across * size.width, MARGIN + number // across * size.height
        runs, module = _code(each, size)
        parts.append(f"q {module:.4f} 0 0 {module:.4f} {x + _PADDING:.3f} {y + _PADDING:.3f} cm")
        parts += [f"{left} {top} {length} 1 re" for left, top, length in runs]
        parts.append("f Q")
        for row, (line, left, top, height) in enumerate(_text(each, size)):
            face = "B" if row == 0 else "F"
            shown = line.encode("cp1252", "replace").translate(None, b"\r\n")
            shown = shown.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")
            place = f"1 0 0 -1 {x + left:.3f} {y + top:.3f} Tm"
            parts.append(f"BT /{face} {height:.3f} Tf {place} ({shown.decode('latin-1')}) Tj ET")
    return "\n".join(parts).encode("latin-1")


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    made = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    start = len(made)
    made += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    made += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    made += f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(made)


def _across(size: Size) -> int:
    return int((PAGE_WIDTH - 2 * MARGIN) // size.width)


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


def _text(each: Label, size: Size) -> Iterator[tuple[str, float, float, float]]:
    """Yield each line with the place of its base line and its height, so that it stays within the label."""
    left = _PADDING + _side(size)
    wide = size.width - left - _PADDING
    tallest = min(_TALLEST_TEXT, (size.height - 2 * _PADDING) / (_LINE * len(each.lines)))
    top = _PADDING + (size.height - 2 * _PADDING - tallest * _LINE * len(each.lines)) / 2
    for number, line in enumerate(each.lines):
        height = min(tallest, wide / (_WIDEST * len(line)))
        yield line, left, top + tallest * (_LINE * number + 1), height


def _side(size: Size) -> float:
    """The side of the code with its quiet zone; half of the label at most, the other half is for the text."""
    return min(size.height - 2 * _PADDING, size.width / 2)
