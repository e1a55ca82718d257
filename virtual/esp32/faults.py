"""Things that go wrong on a bench, to order."""

from dataclasses import dataclass


@dataclass
class Faults:
    """What this board does wrong from now on.

    silent  it never answers
    drop    it falls silent when this many blocks of flash data have come, until its port is closed
    unplug  it is pulled out when this many blocks of flash data have come: its port is gone
    rot     it flips one bit in each of the next so many blocks of flash data
    burn    it loses its power behind so many programmings of its eFuses: its port is gone
    """

    silent: bool = False
    drop: int | None = None
    unplug: int | None = None
    rot: int = 0
    burn: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Return the faults that `text` names, such as "drop=3" or "rot=1,silent"."""
        faults = cls()
        for word in filter(None, text.split(",")):
            name, _, number = word.partition("=")
            if name == "silent" and not number:
                faults.silent = True
            elif name in ("drop", "rot", "unplug", "burn") and number.isdecimal():
                setattr(faults, name, int(number))
            else:
                raise ValueError(f"{word!r} is no fault; there are silent, drop=N, unplug=N, rot=N and burn=N")
        return faults

    def spoil(self, data: bytes) -> bytes:
        """Return flash data as it arrives: as it is, or with one bit flipped."""
        if not self.rot or not data:
            return data
        self.rot -= 1
        return bytes([data[0] ^ 0x01]) + data[1:]
