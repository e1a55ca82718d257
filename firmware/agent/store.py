# The two slots for a key and its certificate.
#
# One slot is in use (`slot`), the other is where the next identity grows: key, then certificate, then the switch.
# Every step is one write that the NVS makes whole or not at all, and each leaves a device that works when the power
# goes: the slot in use is not touched before the other one has been proven.

from agent import nvs_keys, values
from agent.errors import Problem


class Store:
    def __init__(self, nvs):
        self._nvs = nvs

    def active(self):
        """The slot in use, or None before the first one was proven."""
        slot = values.number(self._nvs, nvs_keys.SLOT)
        return slot if slot in (0, 1) else None

    def identities(self):
        """The slots that hold both a key and a certificate, in the order in which to try them."""
        active = self.active() or 0
        return [slot for slot in (active, 1 - active) if self._complete(slot)]

    def load(self, slot):
        """Certificate and private key of a slot, in DER."""
        return values.blob(self._nvs, nvs_keys.CERTIFICATES[slot]), values.blob(self._nvs, nvs_keys.KEYS[slot])

    async def request_key(self, make):
        """The free slot and the private key in it, for a certificate request.

        A key that waits for its certificate is used again: the reply to its request may have been lost, and the
        same key gets the same certificate. Otherwise the coroutine make() gives a new one, which is stored before this
        returns.
        """
        slot = self._free()
        certificate, key = self.load(slot)
        if key and not certificate:
            return slot, key
        # The key goes first: a certificate alone is never taken for something to continue.
        self.discard(slot)
        key = await make()
        self._set(nvs_keys.KEYS[slot], key)
        return slot, key

    def keep(self, slot, certificate):
        """Store the certificate for the key in a slot; the slot in use stays the same."""
        self._set(nvs_keys.CERTIFICATES[slot], certificate)

    def activate(self, slot):
        """Use this slot from now on: its identity was proven on a connection."""
        if self.active() != slot:
            self._nvs.set_i32(nvs_keys.SLOT, slot)
            self._nvs.commit()

    def discard(self, slot):
        """Empty a slot that is not in use."""
        for key in (nvs_keys.KEYS[slot], nvs_keys.CERTIFICATES[slot]):
            values.erase(self._nvs, key)
            self._nvs.commit()

    def _complete(self, slot):
        certificate, key = self.load(slot)
        return bool(certificate and key)

    def _free(self):
        active = self.active()
        if active is not None:
            return 1 - active
        return 1 if self._complete(0) else 0

    def _set(self, key, value):
        self._nvs.set_blob(key, value)
        self._nvs.commit()
        # Nothing may be sent out for a key that the flash did not take.
        if values.blob(self._nvs, key) != value:
            raise Problem(f"the NVS does not keep {key}")
