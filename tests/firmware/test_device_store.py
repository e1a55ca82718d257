"""The slots: whatever write the power goes at, the device has a working identity afterwards."""

import pytest

from fleetmint.nvs import keys

pytestmark = pytest.mark.micropython

# A whole renewal or enrolment, cut at every write in turn, then whole boots until it is done. A slot "works" when key
# and certificate belong together; that is checked whenever the device would choose an identity.
CUT = """
from agent.steps import at_once
from agent.store import Store
from fake_nvs import NVS, PowerCut

def certificate(key): return b"certificate of " + key

def works(store):
    slots = store.identities()
    for slot in slots:
        cert, key = store.load(slot)
        if cert != certificate(key): return False
    return bool(slots)

made = [0]
sent = []

async def make():
    made[0] += 1
    return b"key %d" % made[0]

def one_run(nvs):
    store = Store(nvs)
    slot, key = at_once(store.request_key(make))
    sent.append((key, nvs.values.get("key%d" % slot)))
    store.keep(slot, certificate(key))
    store.activate(slot)

start = {"key0": b"key A", "cert0": certificate(b"key A"), "slot": 0} if renewal else {}
if renewal and other == "old": start.update(key1=b"key B", cert1=certificate(b"key B"))
if renewal and other == "begun": start.update(key1=b"key C")
problems = []
writes = 0
while True:
    writes += 1
    for survives in (False, True):
        values = dict(start)
        nvs = NVS(values, writes, survives)
        try:
            one_run(nvs)
            finished = True
        except PowerCut:
            finished = False
            after = Store(NVS(values))
            if renewal and not works(after): problems.append([writes, survives, "no identity after the cut"])
            if not renewal and after.identities() and not works(after): problems.append([writes, survives, "bad"])
            before = len(sent)
            one_run(NVS(values))
        if not works(Store(NVS(values))): problems.append([writes, survives, "no identity in the end"])
        if any(key != stored for key, stored in sent): problems.append([writes, survives, "sent before stored"])
        if any(key == b"key B" for key, _ in sent): problems.append([writes, survives, "an old key came back"])
    if finished: break
result([writes, problems])
"""


@pytest.mark.parametrize("other", ["empty", "old", "begun"])
def test_a_power_cut_at_any_write_of_a_renewal_leaves_a_working_identity(board, other):
    writes, problems = board.run(CUT, renewal=True, other=other)
    assert problems == []
    assert writes >= 3


def test_a_power_cut_at_any_write_of_the_first_enrolment_can_be_continued(board):
    writes, problems = board.run(CUT, renewal=False, other="empty")
    assert problems == []
    assert writes == 4


PRELUDE = """
from agent.steps import at_once
from agent.store import Store
from fake_nvs import NVS
nvs = NVS(values)
store = Store(nvs)
async def make(): return b'new'
"""


def run(board, script: str, **values):
    return board.run(PRELUDE + script, values=values)


def test_a_key_that_waits_for_its_certificate_is_used_again(board):
    assert run(board, "slot, key = at_once(store.request_key(make))\nresult([slot, key.decode()])", key0=b"old") == [
        0,
        "old",
    ]


def test_the_slot_in_use_is_never_the_free_one(board):
    values = {"key0": b"a", "cert0": b"A", "key1": b"b", "cert1": b"B"}
    for slot in (0, 1):
        assert run(board, "result(at_once(store.request_key(make))[0])", slot=slot, **values) == 1 - slot


def test_a_new_certificate_does_not_switch_the_slot(board):
    values = {"slot": 0, "key0": b"a", "cert0": b"A"}
    script = """
slot, key = at_once(store.request_key(make))
store.keep(slot, b'C')
result([store.active(), store.identities()])
"""
    assert run(board, script, **values) == [0, [0, 1]]


def test_the_slot_in_use_is_tried_first_and_the_other_one_after_it(board):
    values = {"key0": b"a", "cert0": b"A", "key1": b"b", "cert1": b"B"}
    assert run(board, "result(store.identities())", slot=1, **values) == [1, 0]
    assert run(board, "result(store.identities())", slot=0, **values) == [0, 1]
    assert run(board, "result(store.identities())", **values) == [0, 1]


@pytest.mark.parametrize("values", [{}, {"key0": b"a"}, {"cert0": b"A"}, {"slot": 0}, {"key0": b"a", "cert1": b"B"}])
def test_half_an_identity_is_none(board, values):
    assert run(board, "result(store.identities())", **values) == []


@pytest.mark.parametrize(("state", "first"), [(2, 1), (3, 0)])
def test_what_a_renewal_has_left_is_tried_before_what_is_in_use(board, state, first):
    values = {"slot": state, "key0": b"a", "cert0": b"A", "key1": b"b", "cert1": b"B"}
    script = "result([store.active(), store.identities()])"
    assert run(board, script, **values) == [1 - first, [first, 1 - first]]


@pytest.mark.parametrize(
    ("state", "renewal", "again"), [(0, False, True), (2, True, True), (0, True, False), (2, False, False)]
)
def test_a_waiting_key_is_used_for_what_it_was_made_for_only(board, state, renewal, again):
    values = {"slot": state, "key0": b"a", "cert0": b"A", "key1": b"waits"}
    script = "result([key.decode() for key in at_once(store.request_key(make, RENEWAL))[1:]] + [nvs.values['slot']])"
    key, slot = run(board, script.replace("RENEWAL", str(renewal)), **values)
    assert key == ("waits" if again else "new")
    assert slot == (2 if renewal else 0)


def test_a_newer_certificate_for_the_same_key_takes_the_other_slot(board):
    values = {"slot": 1, "key0": b"a", "cert0": b"A", "key1": b"b", "cert1": b"B"}
    script = (
        "slot = store.keep_beside(1, b'C')\nresult([slot, nvs.log, nvs.values['key0'] == b'b', nvs.values['slot']])"
    )
    assert run(board, script, **values) == [0, ["key0", "cert0", "slot", "cert0", "key0"], True, 3]


def test_the_same_certificate_again_spares_the_flash(board):
    values = {"slot": 2, "key0": b"a", "cert0": b"A", "key1": b"a", "cert1": b"B"}
    script = "result([store.keep_beside(0, b'B'), store.keep_beside(1, b'B'), nvs.writes])"
    assert run(board, script, **values) == [1, 1, 0]


def test_activating_the_slot_in_use_spares_the_flash(board):
    assert run(board, "store.activate(1)\nresult(nvs.writes)", slot=1) == 0


def test_a_flash_that_does_not_keep_the_key_is_a_problem_and_not_a_request(board):
    script = """
from agent.errors import Problem
nvs.set_blob = lambda key, value: None
try:
    at_once(store.request_key(make))
except Problem as error:
    result(str(error))
"""
    assert "does not keep key0" in run(board, script)


def test_the_slots_are_those_that_the_factory_fills():
    assert (keys.SLOT, keys.KEYS, keys.CERTIFICATES) == ("slot", ("key0", "key1"), ("cert0", "cert1"))
