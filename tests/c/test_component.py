"""The core as a component of ESP-IDF, which is not here: what its CMakeLists.txt says is there, and is enough."""

import re

from tests.support.c_build import CORE
from tests.support.c_esp32 import IDF

# The component of ESP-IDF that each header is from; those of mbedTLS and of POSIX sockets have directories.
COMPONENTS = {"esp_err.h": "esp_common", "nvs.h": "nvs_flash"}
# What every component sees without asking.
ALWAYS = {"esp_common"}


def said(word):
    text = (CORE / "CMakeLists.txt").read_text()
    return re.search(rf"^ *{word} (.*)$", text, re.MULTILINE)[1].split()


def test_all_of_the_core_and_of_its_port_for_an_esp32_is_in_it():
    assert set(said("SRC_DIRS")) == {"src", "port/esp32", "port/mbedtls"}
    assert all(list((CORE / place).glob("*.c")) for place in said("SRC_DIRS"))
    assert all(list((CORE / place).glob("**/*.h")) for place in said("INCLUDE_DIRS"))


def test_it_asks_for_each_component_whose_headers_it_includes():
    wanted = set()
    for path in [file for place in said("SRC_DIRS") for file in (CORE / place).glob("*.[ch]")]:
        for header in re.findall(r"^#include <([^>]+)>", path.read_text(), re.MULTILINE):
            if (IDF / "include" / header).exists():
                wanted.add(COMPONENTS.get(header, header.removesuffix(".h")))
            elif header.startswith(("mbedtls/", "psa/")):
                wanted.add("mbedtls")
            elif header in ("netdb.h", "sys/socket.h", "arpa/inet.h"):
                wanted.add("lwip")
    assert wanted - ALWAYS == set(said("REQUIRES"))
