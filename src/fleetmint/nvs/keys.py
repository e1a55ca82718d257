# The names of the NVS entries, shared by the factory that writes them and the firmware that reads them.
#
# Literals only, no imports: this very file is also put into every firmware image. MicroPython's esp32.NVS knows
# 32-bit signed integers and blobs, and a name has at most 15 characters.
# ruff: noqa: D100, S105 - a docstring would cost memory on a device; "token" is a name, no password

NAMESPACE = "fleetmint"

# blob, ASCII: who the device is
DEVICE_ID = "device_id"
# blob, ASCII: the one-time enrolment token; absent when the factory made the key
TOKEN = "token"
# blobs, UTF-8: the network to join
WIFI_SSID = "wifi_ssid"
WIFI_PSK = "wifi_psk"
# blob, JSON in UTF-8: [[name, passphrase], ...] where there are several; the first of them is in the two above, too
WIFI_LIST = "wifi_list"
# blob, ASCII: host name or address of the gateway, as its certificate has it
GATEWAY = "gateway"
# i32: ports of the gateway
HTTPS_PORT = "https_port"
MQTT_PORT = "mqtt_port"
# blob: the trust bundle in use (site, version, release keys, server CAs to trust); docs/trust-bundle.md has its format
BUNDLE = "bundle"
# blobs, JSON in UTF-8: what the device was told over its session and works with, and what it is about to try
SETTINGS = "settings"
CANDIDATE = "candidate"
# i32, seconds since 2000-01-01 UTC: the time is not earlier than this
CLOCK_FLOOR = "clock_floor"
# i32, 0 or 1: the slot whose key and certificate are in use; absent before the first enrolment. With 2 added, the other
# slot belongs to a renewal that is not yet proven
SLOT = "slot"
# blobs, DER: private key (SEC 1 ECPrivateKey, P-256) and certificate of each slot
KEYS = ("key0", "key1")
CERTIFICATES = ("cert0", "cert1")
