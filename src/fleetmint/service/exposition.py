"""The text format of Prometheus, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@dataclass(frozen=True)
class Sample:
    """A number with its labels; `suffix` is what a histogram adds to its name."""

    value: float
    labels: Mapping[str, str]
    suffix: str = ""


@dataclass(frozen=True)
class Family:
    """The samples of one name, which has the unit in it, and `_total` at its end when it only grows."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def family(name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """Return a family whose samples are called as it is itself."""
    return Family(name, kind, text, tuple(Sample(value, labels) for labels, value in samples))


def histogram(name: str, text: str, found: Mapping[str, tuple[Mapping[str, int], float]], label: str) -> Family:
    """Return a histogram: by the value of `label`, how many lie in each bucket, from the lowest, and the sum of all."""
    samples = []
    for value, (buckets, total) in found.items():
        labels, count = {label: value}, 0
        for bound, number in buckets.items():
            count += number
            samples.append(Sample(count, labels | {"le": bound}, "_bucket"))
        samples += [Sample(total, labels, "_sum"), Sample(count, labels, "_count")]
    return Family(name, HISTOGRAM, text, tuple(samples))


def exposition(families: Iterable[Family]) -> str:
    """Return the text; a family without samples is left out."""
    lines = []
    for each in families:
        if each.samples:
            lines += [f"# HELP {each.name} {_escaped(each.help)}", f"# TYPE {each.name} {each.kind}"]
        for sample in each.samples:
            labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in sample.labels.items())
            lines.append(f"{each.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}")
    return "".join(f"{line}\n" for line in lines)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
