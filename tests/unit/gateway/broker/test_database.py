"""The broker's database, as mosquitto 2.0.21 wrote it."""

import base64

import pytest

from fleetmint.gateway.broker import database
from fleetmint.gateway.broker.database import DatabaseError, Session

# Two retained messages, one with a property; two sessions that are away, for one of which two messages wait.
WRITTEN = base64.b64decode(
    """
ALUAbW9zcXVpdHRvIGRiAAAAAAAAAAYAAAABAAAAEDgAAAAAAAAAAQgAAAAAAAAAAAACAAAAZzgAAAAAAAAAAAAAAAAAAAAAAAAHAAEAKQAAABdJjgEA
YXV0by1ERUY2MUVGNS0wQTBGLURCOEUtRDdFMC0xNDMwQzM4ODE2NjdkZXZpY2VzL2xhbXAtMS9pbi9vcmRlcjEyMzQ1NjcAAAACAAAAZTcAAAAAAAAA
AAAAAAAAAAAAAAAFAAEAKQAAABdJjgEAYXV0by1BMUVCNDE1MC1GMUU0LUYyNTAtNzcwQS1BNzhGODZFRDI4MzdkZXZpY2VzL2xhbXAtMS9pbi9vcmRl
cjEyMzQ1AAAAAgAAAE42AAAAAAAAAAAAAAAAAAAAAAAACgABAAYAAAAWSY4BAWxhbXAtMmRldmljZXMvbGFtcC0yL291dC9hL2IwMTIzNDU2Nzg5BwME
AHRleHQAAAACAAAARTUAAAAAAAAAAAAAAAAAAAAAAAAGAAAABgAAABlJjgABbGFtcC0xZGV2aWNlcy9sYW1wLTEvb3V0L3N0YXR1c29ubGluZQAAAAYA
AAAeAAAAAAAAAAD/////AAQABgAAAAAAAAAAbGFtcC0xAAAAAwAAABY3AAAAAAAAAAABAAYBCwABbGFtcC0xAAAAAwAAABY4AAAAAAAAAAADAAYBCwAB
bGFtcC0xAAAABgAAAB4v5wdrAAAAAAAADhAAAAAGAAAAAAAAAABsYW1wLTIAAAAFAAAAJQAAAAAABgATAQAAAGxhbXAtMWRldmljZXMvbGFtcC0xL2lu
LyMAAAAFAAAAKQAAAAAABgAXAQAAAGxhbXAtMWRldmljZXMvbGFtcC0xL2luL29yZGVyAAAABQAAACUAAAAAAAYAEwEAAABsYW1wLTJkZXZpY2VzL2xh
bXAtMi9pbi94AAAABAAAAAg1AAAAAAAAAAAAAAQAAAAINgAAAAAAAAA=
"""
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mosquitto.db"


def test_what_is_retained_and_what_waits_is_read(path):
    path.write_bytes(WRITTEN)
    found = database.read(path)
    assert found.retained == {"devices/lamp-1/out/status": 6, "devices/lamp-2/out/a/b": 10}
    topics = len("devices/lamp-1/in/#") + len("devices/lamp-1/in/order")
    assert found.sessions["lamp-1"] == Session("", 2, topics, 2, 12)
    assert found.sessions["lamp-2"] == Session("", 1, len("devices/lamp-2/in/x"), 0, 0)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", WRITTEN[:20], WRITTEN[:19] + b"\0\0\0\5" + WRITTEN[23:], WRITTEN[:60],
     WRITTEN.replace(b"/lamp-1/in/o", b"/lamp-\xff/in/o")],
    ids=["empty", "text", "begin", "older version", "cut off", "no text"],
)  # fmt: skip
def test_what_is_no_such_database_is_said_so(path, data):
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match=str(path)):
        database.read(path)
