"""Names and addresses of a gateway: what certificates, devices, browsers and MQTT clients all take alike."""

import ipaddress
import re
import unicodedata

from fleetmint.errors import NameRefusedError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_MAX_LABEL, _MAX_NAME = 63, 253
# What counts as a dot between labels where people write their own script (UTS 46).
_DOTS = re.compile("[.\u3002\uff0e\uff61]")


class HostRefusedError(NameRefusedError):
    """No host name and no address; `wrong` says why, `remedy` what to write instead."""

    def __init__(self, text: object, wrong: str, remedy: str) -> None:
        super().__init__(f"{text!r} {wrong}: {remedy}")
        self.wrong = wrong
        self.remedy = remedy


def host(text: object) -> str:
    """Return `text` if it is a host name or an IP address; raise HostRefusedError, which says what to write, if not."""
    if not isinstance(text, str):
        raise HostRefusedError(text, "is no text", "write a host name or an address, in quotes")
    try:
        _refuse_what_is_more_than_a_name(text)
        if ":" in text or _looks_like_ipv4(text):
            return _address(text)
        return _name(text)
    except _Refusal as refusal:
        raise HostRefusedError(text, *refusal.args) from None


def bracketed(checked: str) -> str:
    """Return a host as URLs have it, behind `https://`."""
    return f"[{checked}]" if ":" in checked else checked


class _Refusal(Exception):  # noqa: N818 - it does not leave this module
    """What is wrong, and what to write instead."""


def _refuse_what_is_more_than_a_name(text: str) -> None:
    if not text.strip():
        raise _Refusal("is empty", "write a host name or an address")
    if text != text.strip():
        raise _Refusal("begins or ends with a blank", _write(text.strip()))
    if any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp") for each in text):
        raise _Refusal("holds a blank or an unseen character", "write the name without it")
    if "://" in text:
        raise _Refusal("is a URL", _write(re.sub(r"^.*?://|[/?#].*$", "", text)))
    if "/" in text:
        raise _Refusal("holds a path or a network", _write(text.partition("/")[0]))
    if "@" in text:
        raise _Refusal("names a user too", _write(text.rpartition("@")[2]))
    if text[0] == "[" or text[-1] == "]":
        raise _Refusal("is in brackets, which only URLs have", _write(re.sub(r"^\[|\].*$", "", text)))
    if "%" in text:
        raise _Refusal(
            "is an address with a zone, which means something on one machine only",
            "write a name, or an address that is not link-local",
        )
    if "*" in text:
        raise _Refusal("is a wildcard, and no device can call it", "write each name in full")
    if found := re.fullmatch(r"([^:]*):\d*", text):
        raise _Refusal("has a port, which belongs into fleet_https_port and its like", _write(found[1]))


def _write(text: str) -> str:
    """Propose `text`, which was found inside of what was written, if it is a name by itself."""
    text = re.sub(r":\d*$", "", text) if text.count(":") == 1 else text
    text = text.rpartition("@")[2].removeprefix("[").partition("]")[0]
    try:
        return f"write {host(text)}"
    except HostRefusedError as refused:
        return refused.remedy


def _looks_like_ipv4(text: str) -> bool:
    """Whether browsers would take it for an IPv4 address: its last label is a number."""
    return re.fullmatch(r"\d+|0x[0-9a-f]*", text.rstrip(".").rpartition(".")[2], re.IGNORECASE) is not None


def _address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        if ":" in text:
            raise _Refusal("is no IPv6 address", "write one such as 2001:db8::7, or a name") from None
        form = "write four numbers from 0 to 255 without leading zeros, or a name"
        raise _Refusal("is no IPv4 address", form) from None
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            raise _Refusal("is an IPv4 address in the form of IPv6", f"write {found.ipv4_mapped}")
        if found.is_link_local:
            raise _Refusal(
                "is link-local: without a zone nobody can call it, and a zone means something on one machine only",
                "write a name, or an address that is not link-local",
            )
    if found.is_unspecified or found.is_multicast or found == ipaddress.ip_address("255.255.255.255"):
        raise _Refusal("is the address of no single machine", "write the one by which devices reach the gateway")
    if str(found) != text:  # certificates have one form of each, and it would seem to have changed with every run
        raise _Refusal("is not the short form of this address", f"write {found}")
    return text


def _name(text: str) -> str:
    if not text.isascii():
        raise _Refusal("has letters that are not in a-z, 0-9 and '-'", _in_ascii(text))
    if text.endswith("."):
        raise _Refusal("ends with a dot, which certificates do not have", _write(text.rstrip(".")))
    if len(text) > _MAX_NAME:
        raise _Refusal(f"has {len(text)} characters", f"a host name has {_MAX_NAME} at most")
    for label in text.split("."):
        if not label:
            raise _Refusal("has nothing between two dots, or before the first", "write the name without that dot")
        if len(label) > _MAX_LABEL:
            raise _Refusal(f"has a part of {len(label)} characters ({label[:20]}…)", f"each has {_MAX_LABEL} at most")
        if "_" in label:
            raise _Refusal(
                "has an underscore, and some clients refuse such a certificate", _write(text.replace("_", "-"))
            )
        if not _LABEL.fullmatch(label):
            raise _Refusal(f"is no host name ({label!r} in it)", "use a-z, 0-9 and '-', not first and not last")
        if label.lower().startswith("xn--") and not _is_a_label(label.lower()):
            raise _Refusal(
                f"has a part that stands for no other letters ({label})", "write the A-label of the name that is meant"
            )
    return text


def _in_ascii(text: str) -> str:
    """Propose the A-labels of a name (RFC 5890): what stands for its letters everywhere below what people see."""
    labels = [_a_label(label) for label in _DOTS.split(unicodedata.normalize("NFKC", text).lower())]
    if None in labels:
        return "write a name in a-z, 0-9 and '-'"
    return _write(".".join(label for label in labels if label))


def _a_label(label: str) -> str | None:
    if label.isascii():
        return label
    # letters, marks and digits are what IDNA takes; symbols and emoji have no A-label that everybody agrees upon
    if not all(each == "-" or unicodedata.category(each)[0] in "LM" or each.isdecimal() for each in label):
        return None
    return "xn--" + label.encode("punycode").decode()


def _is_a_label(label: str) -> bool:
    try:
        meant = label.removeprefix("xn--").encode().decode("punycode")
        return not meant.isascii() and _a_label(unicodedata.normalize("NFKC", meant).lower()) == label
    except (UnicodeError, ValueError):
        return False
