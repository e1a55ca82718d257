from fleetmint.flash import ports
from fleetmint.flash.ports import Found


class Comport:
    def __init__(self, device, vid=None, pid=None):
        self.device, self.vid, self.pid = device, vid, pid


def test_ports_with_a_usual_bridge_are_boards_and_of_others_the_reason_is_said(monkeypatch):
    there = [Comport("/dev/ttyS0"), Comport("/dev/ttyUSB1", 0x10C4, 0xEA60), Comport("/dev/ttyACM0", 0x2341, 0x0043)]
    monkeypatch.setattr(ports, "comports", lambda: [*there, Comport("/dev/ttyACM1", 0x303A, 0x1001)])
    found = ports.find_ports()
    assert ports.boards(found) == ("/dev/ttyACM1", "/dev/ttyUSB1")
    reasons = {port.device: port.left_out for port in found}
    assert "no USB device" in reasons["/dev/ttyS0"]
    assert "USB 2341:0043 is none of the usual bridges" in reasons["/dev/ttyACM0"]


def test_a_bridge_without_a_port_is_told_with_its_driver(tmp_path):
    for name, vendor, product in (("1-1", "1a86", "7523"), ("1-2", "10c4", "ea60"), ("1-3", "046d", "c52b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "idVendor").write_text(f"{vendor}\n")
        (tmp_path / name / "idProduct").write_text(f"{product}\n")
    (told,) = ports.without_driver([Found("/dev/ttyUSB0", "CP210x")], tmp_path)
    assert told.startswith("a CH340 is on the USB (1-1) and has no port: load its driver (sudo modprobe ch341)")
