"""SLIP (RFC 1055): packets on a serial line, each between two C0."""

END = b"\xc0"
ESC = b"\xdb"


def encode(packet: bytes) -> bytes:
    """Return `packet` as it goes over the line."""
    return END + packet.replace(ESC, b"\xdb\xdd").replace(END, b"\xdb\xdc") + END


class Decoder:
    """Collects bytes from the line and gives the packets that are complete."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take `data` and return the packets it completed, in order; empty ones are left out."""
        *complete, self._pending = (self._pending + data).split(END)
        return [part.replace(b"\xdb\xdc", END).replace(b"\xdb\xdd", ESC) for part in complete if part]
