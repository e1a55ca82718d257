"""Publish a reading every ten seconds as the device in a directory: python3 publisher.py DIRECTORY."""

import json
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt

tls = Path(sys.argv[1])
me = json.loads((tls / "client.json").read_text())
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=me["name"])
client.tls_set(tls / "ca.pem", tls / "cert.pem", tls / "key.pem")
client.connect(me["gateway"], me["mqtt_port"])
client.loop_start()
while True:
    reading = {"seconds": round(time.monotonic())}
    client.publish(f"devices/{me['name']}/out/readings", json.dumps(reading), qos=1)
    time.sleep(10)
