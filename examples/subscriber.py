"""Print what all devices publish, as the operator in a directory: python3 subscriber.py DIRECTORY."""

import json
import sys
from pathlib import Path

import paho.mqtt.client as mqtt

tls = Path(sys.argv[1])
me = json.loads((tls / "client.json").read_text())
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.tls_set(tls / "ca.pem", tls / "cert.pem", tls / "key.pem")
client.on_connect = lambda client, *_: client.subscribe("devices/+/out/#", qos=1)
client.on_message = lambda _client, _data, message: print(message.topic, message.payload.decode(), flush=True)
client.connect(me["gateway"], me["mqtt_port"])
client.loop_forever()
