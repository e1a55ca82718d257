import json
from dataclasses import replace

import pytest

from fleetmint.errors import ImageError
from fleetmint.flash.job import Job, Region, check_fit, check_job, job_from_json, job_to_json

JOB = Job(
    "/dev/ttyUSB0",
    "esp32",
    (Region(0x8000, b"table", "partition table"), Region(0x9000, b"\x00\xff" * 0x3000, "nvs")),
    baud=921600,
    reprovision=True,
)


def test_a_job_survives_the_way_to_another_process():
    assert job_from_json(json.loads(json.dumps(job_to_json(JOB)))) == JOB


def test_a_job_shows_no_data_when_printed():
    assert "table'" in repr(JOB)
    assert "\\x00" not in repr(JOB)


def test_a_job_that_makes_sense_is_accepted():
    check_job(JOB)
    check_fit(JOB, 0xF000)


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ((Region(0x8001, b"x", "odd"),), "'odd' at 0x8001 does not start with a sector"),
        ((Region(-0x1000, b"x", "below"),), "'below' at -0x1000 does not start with a sector"),
        ((Region(0x8000, b"", "nothing"),), "'nothing' is empty"),
        ((Region(0x9000, b"x", "a"), Region(0x8000, bytes(0x1001), "b")), "'b' and 'a' overlap at 0x9000"),
        ((Region(0x8000, b"x", "a"), Region(0x9000, b"x", "a")), "two regions have the same name"),
        ((Region(0x9000, b"x", "nvs"),), "the NVS image has 0x1 bytes, which are not whole pages"),
    ],
)
def test_regions_that_would_spoil_something_are_refused(regions, message):
    with pytest.raises(ImageError, match=message):
        check_job(replace(JOB, regions=regions))


def test_an_unknown_chip_is_refused():
    with pytest.raises(ImageError, match="no chip 'esp32h2'"):
        check_job(replace(JOB, chip="esp32h2"))


def test_a_region_beyond_the_end_of_the_flash_is_refused():
    with pytest.raises(ImageError, match="'nvs' ends at 0xf000, but the flash has 0xefff bytes only"):
        check_fit(JOB, 0xEFFF)
