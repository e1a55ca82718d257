"""One guard around the parsers of foreign bytes, and what is touched inside of it.

Fields are parsed when they are touched, and a broken one raises whatever it likes: ValueError, TypeError, KeyError,
and from the library's Rust code a PanicException, which is no Exception at all (the versions of Debian 12 and 13 panic
at an extensionRequest with an empty SET).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509

# Not to be imported from anywhere: PyO3 makes it when it is raised first.
_PANIC = "PanicException"
# Tags of DirectoryString (RFC 5280, appendix A), and those that old programs write instead.
_STRINGS = {
    "UTF8String",
    "PrintableString",
    "IA5String",
    "T61String",
    "NumericString",
    "VisibleString",
    "UniversalString",
    "BMPString",
}


class UnreadableError(ValueError):
    """Foreign bytes are not what they should be."""


@contextmanager
def parsing() -> Iterator[None]:
    """Raise UnreadableError in the place of whatever a parser raises in here; touch all fields before it ends."""
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(str(error) or type(error).__name__) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise UnreadableError("the parser gave up") from error


def touch_name(name: x509.Name) -> None:
    """Raise UnreadableError when a part of a name is tagged as something that is no string, such as a time."""
    for attribute in name:
        tag = getattr(attribute, "_type", None)  # the value alone does not tell
        if not isinstance(attribute.value, str) or (tag is not None and tag.name not in _STRINGS):
            raise UnreadableError(f"a part of its name is no text but {getattr(tag, 'name', 'something else')}")


def touch(certificate: x509.Certificate) -> x509.Certificate:
    """Return a certificate all of whose fields can be read; raise UnreadableError for any other one."""
    with parsing():
        touch_fields(certificate)
        _ = certificate.public_key(), certificate.signature_hash_algorithm
    return certificate


def touch_fields(certificate: x509.Certificate) -> None:
    """Raise UnreadableError when anything but the key and the kind of the signature cannot be read."""
    with parsing():
        touch_name(certificate.subject)
        touch_name(certificate.issuer)
        _ = list(certificate.extensions), certificate.serial_number, certificate.version, certificate.signature
        _ = getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after
        _ = getattr(certificate, "not_valid_before_utc", None) or certificate.not_valid_before
