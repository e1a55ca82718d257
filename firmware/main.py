# Your product starts here: what it measures, and what it does when a message comes.

import esp32
from agent import run

# Seconds between two readings.
EVERY = 5


def temperature():
    # The original ESP32 tells degrees Fahrenheit under another name.
    if hasattr(esp32, "mcu_temperature"):
        return esp32.mcu_temperature()
    if hasattr(esp32, "raw_temperature"):
        return round((esp32.raw_temperature() - 32) / 1.8)
    return None


def read():
    return {"temperature": temperature()}


def on_message(topic, payload):
    print("message:", topic, len(payload), "bytes")


run(read=read, on_message=on_message, every=EVERY)
