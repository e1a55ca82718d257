"""Labels, judged by a decoder of QR codes (zbar) and a reader of PDF (poppler), neither of which knows us."""

import csv
import io
import re
import subprocess
import unicodedata
from xml.etree import ElementTree

import pytest

from fleetmint.batch import labels
from fleetmint.batch.labels import MARGIN, Size
from fleetmint.errors import FleetmintError

SIZE = Size.parse("50x25")
# more than a page of 33 labels
COUNT = 40
DPI = 300


def row(number, **changes):
    known = {"device": f"lamp-{number:06}", "serial": f"{number:06}", "product": "Lamp (große)", "hardware": "B"}
    return {**known, "mac": f"24:0a:c4:00:00:{number:02x}", "token": "secret-token", **changes}


@pytest.fixture
def rows():
    return [row(number) for number in range(1, COUNT + 1)]


@pytest.fixture
def judge(tmp_path):
    """Return the text of each page of a PDF, and what the labels at these places (page, column, row) say in code."""

    def run(data, size, places):
        (tmp_path / "labels.pdf").write_bytes(data)

        def call(*command):
            return subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

        def code(page, column, row):
            # each label alone, as whoever scans it sees it
            dots = DPI / 25.4
            corner = ("-x", int((MARGIN + column * size.width) * dots), "-y", int((MARGIN + row * size.height) * dots))
            extent = ("-W", int(size.width * dots), "-H", int(size.height * dots))
            call("pdftoppm", "-r", DPI, "-png", "-singlefile", "-f", page, *corner, *extent, "labels.pdf", "label")
            return call("zbarimg", "--quiet", "--raw", "--nodbus", "label.png").rstrip("\n")

        return call("pdftotext", "-layout", "labels.pdf", "-").split("\f")[:-1], [code(*place) for place in places]

    return run


def test_the_codes_are_read_and_every_line_is_there(rows, judge):
    made = labels.pdf([labels.label(each) for each in rows], SIZE)
    pages, codes = judge(made, SIZE, [(1, 0, 0), (1, 2, 0), (1, 1, 5), (1, 2, 10), (2, 0, 0), (2, 0, 2)])
    assert codes == [f"lamp-{number:06} {number:06}" for number in (1, 3, 17, 33, 34, 40)]
    assert len(pages) == 2
    text = "".join(pages)
    for each in rows:
        for word in (each["device"], f"serial {each['serial']}", each["mac"]):
            assert text.count(word) == 1, word
    assert text.count("Lamp (große) B") == COUNT


def test_small_labels_and_long_names_are_read_too(judge):
    rows = [row(1, device="x" * 63, serial="", mac="", product="", hardware=""), row(2)]
    size = Size.parse("40x17")
    pages, codes = judge(labels.pdf([labels.label(each) for each in rows], size), size, [(1, 0, 0), (1, 1, 0)])
    assert codes == ["x" * 63, "lamp-000002 000002"]
    assert "x" * 63 in pages[0]


def test_letters_of_other_scripts_are_printed_with_a_font_that_has_them(judge, tmp_path):
    products = ["Лампа", "Λάμπα", "灯泡", "電球", "조명", "Лампа 灯泡 für 조명", "La\u0301mpara", "灯" * 18]
    rows = [row(number, product=product) for number, product in enumerate(products, 1)]
    pages, codes = judge(labels.pdf([labels.label(each) for each in rows], SIZE), SIZE, [(1, 0, 0), (1, 1, 2)])
    assert codes == ["lamp-000001 000001", "lamp-000008 000008"]
    for product in products:
        assert f"{unicodedata.normalize('NFC', product)} B" in pages[0]
    fonts = subprocess.run(["pdffonts", tmp_path / "labels.pdf"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0].partition("+")[2] for line in fonts.splitlines()[2:] if "+" in line] == [
        "DejaVuSansBook", "WenQuanYiMicroHei",
    ]  # fmt: skip
    boxes = subprocess.run(
        ["pdftotext", "-bbox", tmp_path / "labels.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    ends = [float(end) for end in re.findall(r'xMax="([0-9.]+)"[^>]*>灯{18}<', boxes)]
    assert len(ends) == 1
    assert max(ends) <= (MARGIN + 2 * SIZE.width) / 25.4 * 72


@pytest.mark.parametrize("product", ["مصباح", "נורה", "दीपक", "x\u0323\u0302", "\U0001f4a1 Lamp", "👩\u200d🔧"])
def test_letters_that_cannot_be_printed_right_are_refused_for_a_pdf_and_not_for_others(product):
    found = [labels.label(row(1, product=product))]
    with pytest.raises(FleetmintError, match=r"no font here can print .*U\+[0-9A-F]{4,5}.* --format svg; .*microhei"):
        labels.pdf(found, SIZE)
    assert unicodedata.normalize("NFC", product) in labels.svg(found, SIZE).decode()


def test_without_a_font_only_western_letters_are_printed(judge, monkeypatch, tmp_path):
    monkeypatch.setattr(labels, "_FONT_DIRECTORY", tmp_path)
    with pytest.raises(FleetmintError, match="fonts-wqy-microhei"):
        labels.pdf([labels.label(row(1, product="Лампа"))], SIZE)
    pages, _ = judge(labels.pdf([labels.label(row(1, product="„Lämpchen“ 5 €"))], SIZE), SIZE, [])
    assert "„Lämpchen“ 5 € B" in pages[0]


def test_no_secret_is_on_a_label(rows):
    found = [labels.label(each) for each in rows]
    for made in (labels.pdf(found, SIZE), labels.svg(found, SIZE), labels.table(rows), repr(found).encode()):
        assert b"secret-token" not in made


def test_the_svg_has_the_same_and_stays_on_its_sheet(rows):
    rows[0]["product"] = "<Lamp> & more"
    root = ElementTree.fromstring(labels.svg([labels.label(each) for each in rows], SIZE))  # noqa: S314 - it is ours
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text.startswith("lamp-")] == [each["device"] for each in rows]
    assert "<Lamp> & more B" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == COUNT
    _, _, wide, tall = map(float, root.get("viewBox").split())
    for each in root.iter("{http://www.w3.org/2000/svg}text"):
        end = float(each.get("x")) + len(each.text) * 0.62 * float(each.get("font-size"))
        assert end <= wide
        assert float(each.get("y")) <= tall


def test_the_table_is_for_printers_of_labels(rows):
    found = list(csv.DictReader(io.StringIO(labels.table(rows).decode())))
    assert found[0] == {
        "device": "lamp-000001", "serial": "000001", "product": "Lamp (große)", "hardware": "B",
        "mac": "24:0a:c4:00:00:01", "qr": "lamp-000001 000001",
    }  # fmt: skip
    assert len(found) == COUNT


@pytest.mark.parametrize("text", ["", "50", "50x", "axb", "50x25x3", "500x25", "50x1", "-50x25", "nanx25"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(FleetmintError, match=r"no size of a label|does not fit"):
        Size.parse(text)


@pytest.mark.parametrize("made", [labels.pdf, labels.svg])
@pytest.mark.parametrize(("product", "least"), [("W" * 60, r"\d+"), ("灯" * 60, r"8\d")])
def test_a_product_whose_letters_nobody_could_read_is_refused(made, product, least):
    each = labels.label(row(1, product=product, hardware=""))
    reason = f"cannot be read on a label of 50x25 mm.*: shorten it, or make the label {least} mm wide"
    with pytest.raises(FleetmintError, match=reason):
        made([each], SIZE)
    assert made([each], Size(120, 25))


def test_a_label_on_which_the_code_could_not_be_read_is_refused():
    with pytest.raises(FleetmintError, match=r"the code of x+ cannot be read on a label of 20x8 mm"):
        labels.pdf([labels.label(row(1, device="x" * 63))], Size.parse("20x8"))
