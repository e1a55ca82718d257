# Writing and reading the little DER that a key and a certificate request need (ITU-T X.690).

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
UTF8_STRING = 0x0C
SEQUENCE = 0x30
SET = 0x31


def tlv(tag, *parts):
    """One element: tag, length and the parts one after the other."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes(4, "big").lstrip(b"\x00")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value):
    """A non-negative INTEGER."""
    octets = value.to_bytes(33, "big").lstrip(b"\x00")
    if not octets or octets[0] & 0x80:
        octets = b"\x00" + octets
    return tlv(INTEGER, octets)


def bit_string(data):
    return tlv(BIT_STRING, b"\x00", data)


def header(data, offset=0):
    """Tag, start and end of the element at `offset`. Raises ValueError when it does not fit into `data`."""
    if len(data) - offset < 2:
        raise ValueError("DER ends early")
    tag, size = data[offset], data[offset + 1]
    start = offset + 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 3:
            raise ValueError("DER length refused")
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + size > len(data):
        raise ValueError("DER ends early")
    return tag, start, start + size
