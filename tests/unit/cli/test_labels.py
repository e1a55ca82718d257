"""`fleetmint batch labels`."""

import csv
import io


def test_labels_are_written_to_a_file_or_the_output(fleetmint, tmp_path):
    done = fleetmint("batch", "labels", "first", "--out", tmp_path / "first.pdf")
    assert "2 labels" in done.stderr
    assert (tmp_path / "first.pdf").read_bytes().startswith(b"%PDF-")
    table = fleetmint("batch", "labels", "first", "--format", "csv", "--out", "-").stdout
    assert [row["device"] for row in csv.DictReader(io.StringIO(table))] == ["lamp-000001", "lamp-000002"]
    assert fleetmint("batch", "labels", "first", "--format", "svg", "--out", "-").stdout.startswith("<svg ")


def test_a_file_is_what_its_name_says(fleetmint, tmp_path):
    for name, begin in (("a.svg", b"<svg "), ("a.CSV", b"device,"), ("a.pdf", b"%PDF-"), ("a.labels", b"%PDF-")):
        assert fleetmint("batch", "labels", "first", "--out", tmp_path / name).exit_code == 0
        assert (tmp_path / name).read_bytes().startswith(begin), name
    done = fleetmint("batch", "labels", "first", "--format", "svg", "--out", tmp_path / "b.pdf")
    assert done.exit_code == 2
    assert "b.pdf are not the same" in done.stderr
    assert not (tmp_path / "b.pdf").exists()


def test_what_cannot_be_printed_is_refused_and_writes_nothing(fleetmint, tmp_path, refused):
    file = tmp_path / "first.pdf"
    refused(fleetmint("batch", "labels", "first", "--size", "5", "--out", file), "no size of a label")
    refused(fleetmint("batch", "labels", "second", "--out", file), "there is no batch second")
    refused(
        fleetmint("batch", "labels", "first", "--only", "burned", "--out", file), "no device of first that is burned"
    )
    assert not file.exists()
