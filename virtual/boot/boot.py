# Boots the unix port of MicroPython from a flash file, as the chip would from its flash.
#
#   micropython virtual/boot/boot.py FLASH [MAC]
#
# The file holds a partition table, an NVS partition and a littlefs with the program. After this script has set up the
# doubles of the hardware's modules and mounted the file system, everything comes from the flash file.
#
# FLEETMINT_WIFI_SSID and FLEETMINT_WIFI_PSK name the network in range; where they are not set, any can be joined.
# The process ends with 64 when the program resets the board and with 65 when the flash does not boot. When the program
# ends, with or without an error, the board waits like one that shows its prompt.

import os
import sys
import time

import board_esp32
import board_machine
import board_network
import vfs
from flash import BlockDevice, Flash

NO_BOOT = 65


def main(path, mac="24:0a:c4:00:00:00"):
    flash = Flash(path)
    rows = flash.partitions()
    if "nvs" not in rows:
        return fail("there is no partition table with an nvs partition")
    board_esp32.flash, board_esp32.partition = flash, rows["nvs"]
    board_machine.mac = bytes(int(octet, 16) for octet in mac.split(":"))
    board_network.ssid = os.getenv("FLEETMINT_WIFI_SSID")
    board_network.passphrase = os.getenv("FLEETMINT_WIFI_PSK")
    sys.modules.update({"esp32": board_esp32, "machine": board_machine, "network": board_network})
    try:
        device = vfs.VfsLfs2(BlockDevice(flash, *file_system(rows, flash.size)))
    except OSError:
        return fail("there is no file system in the flash")
    # From here on there are no other files than those in the flash; the file of the flash itself stays open.
    vfs.umount("/")
    vfs.mount(device, "/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = [""]
    for name in ("boot.py", "main.py"):
        run(name)
    print("board: the program has ended")
    while True:
        time.sleep(3600)


def file_system(rows, size):
    # Where the table names none, MicroPython takes all the flash behind the last partition.
    end = max(offset + length for offset, length in rows.values())
    return rows.get("vfs") or rows.get("ffat") or (end, size - end)


def run(name):
    try:
        with open(name) as file:
            code = compile(file.read(), name, "exec")
    except OSError:
        # The chip goes on without a file that is missing, too.
        print(f"board: no {name}")
        return
    try:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - this is what a board does with its program
    except Exception as error:
        sys.print_exception(error)


def fail(reason):
    print(f"board: does not boot: {reason}")
    return NO_BOOT


sys.exit(main(*sys.argv[1:]))
