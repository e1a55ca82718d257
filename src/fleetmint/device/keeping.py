"""How a device that is a Linux machine comes to an identity and keeps it: as a board does, in runs instead of for ever.

In this order: what is in the slots; what the gateway gives for an identity that has ended (recovery); what it gives for
a token, which somebody has to bring. Whether an identity is good and when it is due, the gateway says. A new one has to
carry a connection before it takes the place of the old one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from fleetmint import commands
from fleetmint.device.directory import Directory, Identity
from fleetmint.device.gateway import DeniedError, Gateway, Standing, UnreachableError, WaitingError
from fleetmint.documents.token import Token
from fleetmint.errors import FleetmintError, StateError
from fleetmint.trust import bundle
from fleetmint.trust.bundle import Bundle
from fleetmint.x509 import keys

# Reasons for which no certificate will ever be had for a key.
_UNUSABLE = ("key_in_use", "key_retired", "weak_key", "new_key_needed")
# The statuses that are about the identity; any other one is about the gateway.
_DENIALS = (401, 403)


@dataclass(frozen=True)
class Kept:
    """How a run ended: what it changed, how the identity in use stands, and what could not be done and has to be."""

    device: str
    slot: str
    standing: Standing
    bundle: str
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass
class Keeper:
    """Keeps the identity in a directory. Nobody else may be at work there meanwhile: see Directory.held."""

    directory: Directory
    gateway: Callable[[Bundle], Gateway]
    _changes: list[str] = field(default_factory=list)
    _problems: list[str] = field(default_factory=list)

    def enrol(self, token: Token) -> Kept:
        """Have an identity that the gateway accepts: the one that is here, or else one for the token.

        Raises UnreachableError, of which WaitingError is one, and DeniedError; after any of them, and after a crash,
        the same again goes on.
        """
        self._check(token.device)
        for found in self.directory.identities():
            try:
                return self._follow(found.slot, self._accept(found))
            except DeniedError as error:
                self._refuse_if_about_gateway(error)
        slot = self._certified(
            lambda key: self._asked().enrol(token.device, token.token, key),
            "the gateway does not take this token: it was used by another key, is void or has ended, or it is not for"
            " this gateway; another one is made on the controller",
        )
        self._changes.append("enrolled")
        return self._follow(slot, self._accept(self.directory.identity(slot)))

    def renew(self, *, new_key: bool = False) -> Kept:
        """Look after the identity: recover it, follow the trust bundle, renew it when the gateway says it is due.

        With `new_key` it is renewed now, for another key. What fails although the identity is good is among the
        problems of the result. Raises StateError where nothing was enrolled, otherwise as `enrol` does.
        """
        slot, standing = self._established()
        kept = self._follow(slot, standing)
        if not (standing.renew or new_key):
            return kept
        try:
            slot = self._renewed(self.directory.identity(slot), new_key=new_key or standing.new_key)
            self._changes.append("renewed with a new key" if new_key or standing.new_key else "renewed")
            return self._kept(slot, self._accept(self.directory.identity(slot)))
        except FleetmintError as error:
            self._problems.append(f"not renewed, and the certificate lasts until {standing.not_after[:10]}: {error}")
            return self._kept(kept.slot, standing)

    def _established(self) -> tuple[str, Standing]:
        known = self.directory.identities()
        if not known:
            raise StateError(f"there is no identity in {self.directory.path} yet: {self._enrol()} makes one")
        refusal, ended = None, []
        for found in known:
            try:
                return found.slot, self._accept(found)
            except DeniedError as error:
                self._refuse_if_about_gateway(error)
                refusal = refusal or error
                if error.code != "superseded":
                    ended.append(found)
        in_use = self.directory.in_use()
        # what is in use comes first here: what was renewed from it is made good again by the same answer
        for found in sorted(ended, key=lambda each: each.slot != in_use):
            try:
                fresh = self._asked().recover(found, self.directory.key(found.slot))
            except DeniedError:
                continue
            slot = self.directory.keep_beside(found.slot, fresh)
            standing = self._accept(self.directory.identity(slot))
            self._changes.append("recovered")
            return slot, standing
        if refusal is not None and refusal.code == "superseded":
            raise DeniedError(
                f"the certificate in {self.directory.path} was renewed elsewhere ({refusal}): there are two copies of"
                " this device, and this is the older one. Let one of them go on, or make a new token on the controller"
                " for the right one",
                refusal.status,
                refusal.code,
            )
        raise DeniedError(
            f"the gateway accepts no certificate of this device ({refusal}), and gives none for it: it was revoked, or"
            f" has ended too long ago. {commands.fleetmint('token', 'new', self._device, '--to', 'FILE')} makes a new"
            f" token on the controller, and {self._enrol()} takes it here",
            refusal.status if refusal else 0,
            refusal.code if refusal else "",
        )

    def _renewed(self, identity: Identity, *, new_key: bool) -> str:
        if not new_key:
            try:
                key = self.directory.key(identity.slot)
                return self.directory.keep_beside(identity.slot, self._asked().renew(identity, key))
            except DeniedError as error:
                if error.code not in _UNUSABLE:
                    raise
        return self._certified(lambda key: self._asked().renew(identity, key), "the gateway does not renew this")

    def _certified(self, certify: Callable[..., x509.Certificate], refused: str) -> str:
        """Return the slot with a key that was kept first, and its certificate."""
        for again in (True, False):
            slot, key = self.directory.request_key(keys.new_key)
            try:
                self.directory.keep(slot, certify(key))
                return slot
            except WaitingError as error:
                shown = keys.spki_sha256(key.public_key()).hex()[:16]
                raise WaitingError(f"waiting for approval of the key {shown}: {error}", error.seconds) from error
            except DeniedError as error:
                if error.code in _UNUSABLE and again:
                    self.directory.discard(slot)
                    continue
                if error.status in _DENIALS:
                    raise DeniedError(f"{refused} ({error})", error.status, error.code) from error
                raise
        raise AssertionError("the second try returns or raises")

    def _accept(self, identity: Identity) -> Standing:
        """Make `identity` the one in use when the gateway accepts it on a connection."""
        standing = self._asked().whoami(identity, self._device)
        self.directory.put_in_use(identity.slot)
        return standing

    def _follow(self, slot: str, standing: Standing) -> Kept:
        """Take the trust bundle that the gateway tells of, if it is a newer one; only of one that has just accepted us.

        The release key's signature, the site and the order of versions count, and the new anchors have to carry a
        connection before they replace the old ones.
        """
        held = self._trusted()
        if standing.bundle is None or standing.bundle == held.rank:
            return self._kept(slot, standing)
        label = f"{standing.bundle[0]}.{standing.bundle[1]}"
        try:
            identity = self.directory.identity(slot)
            offered = bundle.decode(self._asked().trust_bundle(identity), f"the trust bundle {label} of the gateway")
            if (why := bundle.refusal(held, offered)) is not None:
                raise StateError(f"{why}; whoever serves it is not to be trusted without a look")
            self._asked().trusting(offered.anchors).whoami(identity, self._device)
            self.directory.trust(offered)
            self._changes.append(f"trust bundle {offered.label} in place of {held.label}")
        except FleetmintError as error:
            self._problems.append(f"the trust bundle {label} was not taken: {error}")
        return self._kept(slot, standing)

    def _kept(self, slot: str, standing: Standing) -> Kept:
        label = self._trusted().label
        return Kept(self._device, slot, standing, label, tuple(self._changes), tuple(self._problems))

    def _asked(self) -> Gateway:
        return self.gateway(self._trusted())

    def _trusted(self) -> Bundle:
        held = self.directory.bundle()
        if held is None:
            raise StateError(f"the trust bundle in {self.directory.path} is missing: {self._enrol()} brings it")
        return held

    def _enrol(self) -> commands.Command:
        return commands.fleetmint("enrol", "--token-file", "FILE", "--to", str(self.directory.path))

    @property
    def _device(self) -> str:
        return self.directory.about().device

    def _check(self, device: str) -> None:
        if self._device != device:
            raise StateError(f"{self.directory.path} holds {self._device}, and the token is one of {device}")

    @staticmethod
    def _refuse_if_about_gateway(error: DeniedError) -> None:
        if error.status not in _DENIALS:
            raise error


def keeper(directory: Directory) -> Keeper:
    """Return what keeps the identity in `directory`, which has to hold a device."""
    reach = directory.about().reach
    directory.adopt()
    trusted = directory.bundle()
    if trusted is not None:
        directory.write_anchors(trusted)
    return Keeper(directory, lambda held: Gateway(reach, held.anchors))


__all__ = ["DeniedError", "Keeper", "Kept", "UnreachableError", "WaitingError", "keeper"]
