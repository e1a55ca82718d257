"""Whom the device trusts: a newer bundle of the release key takes the place of the old one, and no other does."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.trust import bundle as bundles
from fleetmint.trust import release_key
from fleetmint.trust.release_key import ReleaseKeys
from fleetmint.x509.keys import new_key
from tests.support.firmware_agent import run, said
from tests.support.firmware_site import Site, issuing

pytestmark = pytest.mark.micropython

HELD = "bundle"


@pytest.fixture
def enrolled(gateway, site):
    """The values of a device that has enrolled and holds the bundle 0.5."""
    made = site.device()
    return {"token": None, "slot": 0, "key0": made.key_der, "cert0": made.der, HELD: site.bundle(5).encode()}


def meet(board, gateway, values, **options):
    """Let the device meet its gateway once; return what it says about the bundle, and the one that it holds then."""
    outcome = run(board, gateway, **options, **values)
    assert said(outcome, "published reading 1"), outcome["said"]
    return " ".join(said(outcome, "trust bundle")), bytes.fromhex(outcome["stored"][HELD])


def test_a_newer_bundle_is_taken(board, gateway, site, enrolled):
    newer = gateway.offer(site.bundle(6))
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle 0.6 in use, it replaces 0.5" in words
    assert held == newer


def test_the_new_anchors_are_those_of_the_next_connection(board, gateway, site, enrolled):
    # the broker stands under the server CA alone, so the session itself shows which anchors are in use
    only = (site.server_ca.certificate.public_bytes(Encoding.DER),)
    gateway.offer(site.bundle(6, anchors=only))
    setup = """
import agent.gateway
used = []
real = agent.gateway.context
def context(anchors, *identity):
    used.append(len(anchors))
    return real(anchors, *identity)
agent.gateway.context = context
device._every = 10
"""
    outcome = run(board, gateway, setup=setup + "told = lambda: used\n", **enrolled)
    # greeting, fetching, proving, and the session
    assert said(outcome, "published reading 1")
    assert outcome["told"] == [2, 2, 1, 1]


def test_nothing_is_fetched_while_the_gateway_has_the_same_bundle(board, gateway, site, enrolled):
    gateway.offer(site.bundle(5))
    assert meet(board, gateway, enrolled) == ("", enrolled[HELD])
    assert len([request for request in gateway.requests if request.line.startswith("GET")]) == 1


def forged(site: Site, kind: str):
    other = new_key()
    strangers = ReleaseKeys(0, release_key.point(other.public_key()), release_key.point(site.spare.public_key()))
    return {
        "another key": lambda: site.bundle(6, key=other),
        "another release key in it": lambda: site.bundle(6, key=other, keys=strangers),
        "the spare instead of the release key": lambda: site.bundle(6, key=site.spare),
        "lower": lambda: site.bundle(4),
        "equal": lambda: site.bundle(5),
        "another site": lambda: site.bundle(6, site="elsewhere"),
        "keys that the release key itself named": lambda: site.bundle(
            6, key=other, keys=site.new_keys(other, site.release_key)
        ),
        "keys that a stranger named": lambda: site.bundle(6, key=other, keys=site.new_keys(other, other)),
        "signed by the old key": lambda: site.bundle(6, keys=site.new_keys(other, site.spare)),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("another key", "not signed by the release key"),
        ("another release key in it", "names other release keys"),
        ("the spare instead of the release key", "not signed by the release key"),
        ("lower", "0.4 is not newer than 0.5"),
        ("equal", "0.5 is not newer than 0.5"),
        ("another site", "of another site"),
        ("keys that the release key itself named", "not named by the spare"),
        ("keys that a stranger named", "not named by the spare"),
        ("signed by the old key", "not signed by the release key"),
    ],
)
def test_a_bundle_that_is_not_the_sites_next_one_is_refused_with_the_reason(
    board, gateway, site, enrolled, kind, reason
):
    gateway.offer(forged(site, kind), label="1.9")
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle refused" in words
    assert reason in words
    assert held == enrolled[HELD]
    # and the controller's own judgement is the same
    mine, theirs = (bundles.decode(data, "it") for data in (enrolled[HELD], gateway.bundle))
    assert bundles.refusal(mine, theirs) is not None


def test_an_older_bundle_is_refused_without_being_fetched(board, gateway, site, enrolled):
    gateway.offer(site.bundle(4))
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle refused: 0.4 is not newer than 0.5" in words
    assert held == enrolled[HELD]
    assert not [request for request in gateway.requests if "trust-bundle" in request.line]


def test_the_spare_replaces_the_release_key_and_the_old_one_is_worth_nothing_then(board, gateway, site, enrolled):
    new = new_key()
    keys = site.new_keys(new, site.spare)
    # a lower number in a higher generation is newer: a thief of the old key cannot outbid the spare
    newer = gateway.offer(site.bundle(2, key=new, keys=keys))
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle 1.2 in use, it replaces 0.5" in words
    assert held == newer
    gateway.offer(site.bundle(900), label="2.0")
    words, held = meet(board, gateway, {**enrolled, HELD: held})
    assert "0.900 is not newer than 1.2" in words
    assert held == newer


def damaged(data: bytes):
    yield data[:-1]
    yield data + b"\x00"
    yield data[:100]
    yield b""
    yield b"\x00" * 500
    yield b"\xff" * 3072
    yield b"\xff" * 3073
    yield data[:5] + b"\xff" + data[6:]
    for at in (0, 4, 6, 20, 60, 150, 220, 300, len(data) - 70, len(data) - 1):
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_damaged_bundle_is_refused_wherever_the_damage_is(board, site):
    held, offered = site.bundle(5).encode(), site.bundle(6).encode()
    script = """
import asyncio
from agent.trust import Trust
from fake_nvs import NVS
said = []
for text in offers:
    nvs = NVS({"bundle": bytes.fromhex(held)})
    async def fetch(): return bytes.fromhex(text)
    async def prove(anchors): raise RuntimeError("it was accepted")
    asyncio.run(Trust(nvs, said.append).follow("0.6", fetch, prove))
    if nvs.writes: said.append("written")
result(said)
"""
    offers = [data.hex() for data in damaged(offered)]
    words = board.run(script, held=held.hex(), offers=offers, timeout=60, heap="400K")
    assert len(words) == len(offers)
    assert all(line.startswith("trust bundle refused: ") for line in words), words


@pytest.mark.parametrize("length", range(0, 8))
def test_any_label_that_the_gateway_says_is_survived(board, gateway, site, enrolled, length):
    gateway.label = ["x", "1", ".", "1.", "1.2.3", "-1.5", "1.99999999999", "9" * 300][length]
    assert meet(board, gateway, enrolled) == ("", enrolled[HELD])


def test_a_bundle_under_which_the_gateway_does_not_stand_locks_nobody_out(board, gateway, site, enrolled):
    elsewhere = issuing(site.root, "server-ca", site.made).certificate.public_bytes(Encoding.DER)
    gateway.offer(site.bundle(6, anchors=(elsewhere,)))
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle 0.6 not used yet, the gateway does not stand under it" in words
    assert held == enrolled[HELD]


def test_anchors_that_are_no_certificates_lock_nobody_out(board, gateway, site, enrolled):
    gateway.offer(site.bundle(6, anchors=(b"\x30\x00", b"")))
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle 0.6 not used yet" in words
    assert held == enrolled[HELD]


def test_a_gateway_that_announces_a_bundle_and_has_none_is_told(board, gateway, enrolled):
    gateway.label = "0.6"
    words, held = meet(board, gateway, enrolled)
    assert "trust bundle refused" in words
    assert held == enrolled[HELD]


def test_too_little_memory_for_a_new_bundle_leaves_the_device_working(board, gateway, site, enrolled):
    gateway.offer(site.bundle(6))
    setup = """
import agent.trust
def verify(*arguments): raise MemoryError
agent.trust.p256.verify = verify
"""
    words, held = meet(board, gateway, enrolled, setup=setup)
    assert "trust bundle not used: unexpected MemoryError" in words
    assert held == enrolled[HELD]


def test_a_flash_that_does_not_take_the_bundle_leaves_the_device_working(board, gateway, site, enrolled):
    gateway.offer(site.bundle(6))
    setup = "def full(key, value): raise OSError(-0x1105)\nnvs.set_blob = full\n"
    words, held = meet(board, gateway, enrolled, setup=setup)
    assert "the NVS does not keep it" in words
    assert held == enrolled[HELD]


def test_after_a_day_the_gateway_is_asked_again_and_its_bundle_taken_beside_the_session(board, gateway, site, enrolled):
    setup = """
import agent.trust
lasts = [200, 100000]
agent.trust.patience = lambda: lasts.pop(0)
"""
    gateway.offer(site.bundle(5))
    newer = site.bundle(6)
    first = gateway.succession.whoami

    def whoami(der, label):
        answer = first(der, label)
        gateway.offer(newer)
        return answer

    gateway.succession.whoami = whoami
    outcome = run(board, gateway, setup=setup, enough=60, **enrolled)
    # once at the start, once after the day, and once with the new anchors
    assert len([request for request in gateway.requests if "whoami" in request.line]) == 3
    assert bytes.fromhex(outcome["stored"][HELD]) == newer.encode()
    assert len(gateway.broker.sessions) == 1
    assert outcome["waits"] == []


CUT = """
import asyncio
from agent.trust import Trust
from fake_nvs import NVS, PowerCut
async def fetch(): return bytes.fromhex(offered)
async def prove(anchors): pass
def follow(nvs): asyncio.run(Trust(nvs, print).follow("0.6", fetch, prove))
problems = []
writes = 0
while True:
    writes += 1
    for survives in (False, True):
        values = {"bundle": bytes.fromhex(held)}
        done = True
        try:
            follow(NVS(values, writes, survives))
        except PowerCut:
            done = False
            after = Trust(NVS(values), print).held().rank
            if after != ((0, 6) if survives else (0, 5)): problems.append([writes, survives, after])
            follow(NVS(values))
        if Trust(NVS(values), print).held().rank != (0, 6): problems.append([writes, survives, "not in the end"])
    if done: break
result([writes, problems])
"""


def test_a_power_cut_at_any_write_leaves_one_whole_bundle(board, site):
    held, offered = site.bundle(5).encode().hex(), site.bundle(6).encode().hex()
    # one write, so the second round finds none to cut
    assert board.run(CUT, held=held, offered=offered) == [2, []]


def test_a_session_lasts_about_a_day(board):
    times = board.run("from agent import trust\nresult([trust.patience() for _ in range(50)])")
    assert all(82_800_000 <= time <= 86_400_000 for time in times)
    assert len(set(times)) > 40


def test_the_largest_bundle_fits_a_device_and_a_larger_one_is_made_by_nobody(board, site):
    anchor = site.server_ca.certificate.public_bytes(Encoding.DER)
    large = site.bundle(6, anchors=(anchor, anchor + bytes(3072)))
    spare_room = len(large.encode()) - bundles.MAX_BYTES
    fitting = dataclasses.replace(large, anchors=(anchor, (anchor + bytes(3072))[:-spare_room]))
    assert len(fitting.encode()) == bundles.MAX_BYTES
    script = "from agent import trust\nresult(len(trust.Bundle(bytes.fromhex(data)).anchors))"
    assert board.run(script, data=fitting.encode().hex()) == 2
