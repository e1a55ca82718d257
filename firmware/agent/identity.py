# Who this device is, and where its gateway is: what the factory burned into the NVS.
#
# A missing value stops with the name of the key, never with its content. Secrets are read when they are used and
# are not kept.

import json

from agent import nvs_keys, values
from agent.errors import Missing


class Identity:
    def __init__(self, nvs):
        self._nvs = nvs
        self.device_id = self._text(nvs_keys.DEVICE_ID)
        self.gateway = self._text(nvs_keys.GATEWAY)
        self.https_port = self._number(nvs_keys.HTTPS_PORT)
        self.mqtt_port = self._number(nvs_keys.MQTT_PORT)

    def networks(self):
        """Networks that the factory gave it, [name, passphrase] each; the passphrase of an open one is empty."""
        several = values.blob(self._nvs, nvs_keys.WIFI_LIST)
        if several:
            try:
                return json.loads(several)
            except ValueError:
                raise Missing("readable " + nvs_keys.WIFI_LIST)
        passphrase = values.blob(self._nvs, nvs_keys.WIFI_PSK) or b""
        return [[self._text(nvs_keys.WIFI_SSID), passphrase.decode()]]

    def token(self):
        """The one-time enrolment token. A device without one cannot enrol."""
        return self._text(nvs_keys.TOKEN)

    def has_token(self):
        return bool(values.blob(self._nvs, nvs_keys.TOKEN))

    def forget_token(self):
        values.erase(self._nvs, nvs_keys.TOKEN)
        self._nvs.commit()

    def _blob(self, key):
        value = values.blob(self._nvs, key)
        if not value:
            raise Missing(key)
        return value

    def _text(self, key):
        try:
            return self._blob(key).decode()
        except UnicodeError:
            raise Missing("readable " + key)

    def _number(self, key):
        value = values.number(self._nvs, key)
        if value is None:
            raise Missing(key)
        return value
