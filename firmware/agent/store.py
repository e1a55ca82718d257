# The two slots for a key and its certificate.
#
# One slot is in use (`slot`), the other is where the next identity grows, until it has been proven on a connection and
# the switch is made. Every step is one write that the NVS makes whole or not at all, and each leaves a device that
# works when the power goes: the slot in use is not touched before that.
#
# `slot` is 0 or 1. With 2 added, the other slot belongs to a renewal: what is complete there is newer than what is in
# use, and the gateway may have seen it already.

from agent import nvs_keys, values
from agent.errors import Problem

_RENEWAL = 2


class Store:
    def __init__(self, nvs):
        self._nvs = nvs

    def active(self):
        """The slot in use, or None before the first one was proven."""
        state = self._state()
        return None if state is None else state & 1

    def identities(self):
        """The slots that hold both a key and a certificate, in the order in which to try them."""
        first = self.active() or 0
        if self._renewing():
            first = 1 - first
        return [slot for slot in (first, 1 - first) if self._complete(slot)]

    def load(self, slot):
        """Certificate and private key of a slot, in DER."""
        return values.blob(self._nvs, nvs_keys.CERTIFICATES[slot]), values.blob(self._nvs, nvs_keys.KEYS[slot])

    async def request_key(self, make, renewal=False):
        """The free slot and the private key in it, for a certificate request.

        A key that waits for its certificate is used again: the reply to its request may have been lost, and the
        same key gets the same certificate. Otherwise `await make()` gives a new one, which is stored before this
        returns. A key of a renewal is no key for a token, nor the other way round.
        """
        slot = self._free()
        certificate, key = self.load(slot)
        if key and not certificate and self._renewing() == renewal:
            return slot, key
        self.discard(slot)
        active = self.active()
        if active is not None:
            self._set_state(active, renewal)
        key = await make()
        self._set(nvs_keys.KEYS[slot], key)
        return slot, key

    def keep(self, slot, certificate):
        """Store the certificate for the key in a slot; the slot in use stays the same."""
        self._set(nvs_keys.CERTIFICATES[slot], certificate)

    def keep_beside(self, slot, certificate):
        """Store a newer certificate for the key of `slot` in the other slot, with that key; returns the other slot.

        `slot` is the one in use then, if it was not before. What is there already is not written again.
        """
        other = 1 - slot
        own, key = self.load(slot)
        if certificate == own:
            return slot
        if self.load(other) != (certificate, key):
            self.discard(other)
            self._set_state(slot, True)
            # The certificate goes first: a key alone would be taken for one that waits.
            self._set(nvs_keys.CERTIFICATES[other], certificate)
            self._set(nvs_keys.KEYS[other], key)
        return other

    def activate(self, slot):
        """Use this slot from now on: its identity was proven on a connection."""
        if self.active() != slot:
            self._set_state(slot, False)

    def discard(self, slot):
        """Empty a slot that is not in use."""
        for key in (nvs_keys.KEYS[slot], nvs_keys.CERTIFICATES[slot]):
            values.erase(self._nvs, key)
            self._nvs.commit()

    def _state(self):
        state = values.number(self._nvs, nvs_keys.SLOT)
        return state if state in (0, 1, 2, 3) else None

    def _set_state(self, slot, renewal):
        state = slot + _RENEWAL if renewal else slot
        if self._state() != state:
            self._nvs.set_i32(nvs_keys.SLOT, state)
            self._nvs.commit()

    def _renewing(self):
        return (self._state() or 0) >= _RENEWAL

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
