"""The slots of the C core: whatever write the power goes at, they are what those of the MicroPython agent are."""

from itertools import product

import pytest

from tests.support.c_lines import ask, data

pytestmark = pytest.mark.micropython

# What a device may hold when a story begins: also what no story leaves behind.
KEYS = (b"key A", b"key B")
PARTS = [(name + str(slot), KEYS[slot] + rest) for slot in (0, 1) for name, rest in (("key", b""), ("cert", b" first"))]
STATES = (None, 0, 1, 2, 3, 7)
STORIES = {
    "enrol": ("new-key", 0, b"key C", b" enrolled"),
    "renew with a new key": ("new-key", 1, b"key C", b" renewed"),
    "renew": ("same-key", b" renewed"),
    "renew again": ("same-key", b" first"),
}
MOST_WRITES = 7
CUTS = [(0, 0), *product(range(1, MOST_WRITES + 1), (0, 1))]

# The same on the agent's store.
AGENT = """
from agent.steps import at_once
from agent.store import Store
from fake_nvs import NVS, PowerCut

def tell(nvs, story):
    store = Store(nvs)
    try:
        if story[0] == "new-key":
            async def make(): return story[2]
            slot, key = at_once(store.request_key(make, renewal=bool(story[1])))
            store.keep(slot, key + story[3])
            store.activate(slot)
        else:
            slot = (store.identities() or [0])[0]
            key = store.load(slot)[1]
            if key is None: return "ABSENT"
            store.activate(store.keep_beside(slot, key + story[1]))
    except PowerCut:
        return "CUT"
    return "0"

def held(values):
    store = Store(NVS(values))
    shown = {name: value.hex() if isinstance(value, bytes) else str(value) for name, value in values.items()}
    return [store.active(), store.identities(), shown]

found = []
for start in starts:
    for write, survives in cuts:
        values = dict(start)
        told = tell(NVS(values, write, survives), story)
        after = held(values)
        again = tell(NVS(values), story)
        found.append([told, after, again, held(values)])
result(found)
"""


def starts():
    for state in STATES:
        for there in product((False, True), repeat=len(PARTS)):
            values = {name: value for (name, value), is_there in zip(PARTS, there, strict=True) if is_there}
            yield values if state is None else {**values, "slot": state}


@pytest.fixture(scope="session")
def slots(build):
    return build.program("test/slots.c", "test/lines.c", "test/memory_kv.c", *build.sources)


def questions(start, story, cut):
    yield ("clear",)
    for name, value in start.items():
        yield ("put-number" if isinstance(value, int) else "put", name, value)
    yield "cut", *cut
    yield story
    yield "cut", 0, 0
    yield ("store",)
    yield story
    yield ("store",)


def held(answer):
    """Which slot is in use, the order of the identities, and all that the store has."""
    active, count, *rest = answer
    order, values = rest[: int(count)], rest[int(count) :]
    return [
        None if active == "ABSENT" else int(active),
        [int(slot) for slot in order],
        dict(zip(values[::2], values[1::2], strict=True)),
    ]


@pytest.mark.parametrize("story", STORIES)
def test_a_cut_at_any_write_leaves_what_it_leaves_on_micropython(slots, board, story):
    cases = [(start, cut) for start in starts() for cut in CUTS]
    asked = [list(questions(start, STORIES[story], cut)) for start, cut in cases]
    answers = iter(ask(slots, [question for each in asked for question in each]))
    found = []
    for each in asked:
        *_, told, _, after, again, last = [next(answers) for _ in each]
        found.append([told[0], held(after), again[0], held(last)])
    wanted = board.run(AGENT, heap="64M", timeout=60, story=STORIES[story], starts=list(starts()), cuts=CUTS)
    assert {told for told, *_ in found} >= {"0", "CUT"}
    # no story has more writes than were tried
    assert not any(told[0] == "CUT" for told, (_, cut) in zip(found, cases, strict=True) if cut[0] == MOST_WRITES)
    for case, ours, agents in zip(cases, found, wanted, strict=True):
        assert ours == agents, case


@pytest.mark.parametrize("story", STORIES)
def test_a_device_that_has_an_identity_has_one_after_a_cut(slots, story):
    whole = [
        {"key0": b"key A", "cert0": b"key A first", "slot": 0},
        {"key1": b"key B", "cert1": b"key B first", "slot": 1},
    ]
    whole += [{**whole[0], **whole[1], "slot": state} for state in range(4)]
    cases = list(product(whole, CUTS))
    answers = iter(ask(slots, [question for case in cases for question in questions(case[0], STORIES[story], case[1])]))
    for start, cut in cases:
        *_, after, _, last = [next(answers) for _ in questions(start, STORIES[story], cut)]
        for _, order, values in (held(after), held(last)):
            assert order, (start, cut)
            for slot in order:
                key, certificate = data(values[f"key{slot}"]), data(values[f"cert{slot}"])
                assert certificate.startswith(key + b" "), (start, cut)


def test_what_is_discarded_is_gone_and_the_rest_stays(slots):
    start = dict(PARTS) | {"slot": 0}
    asked = list(questions(start, ("discard", 1), (0, 0)))
    assert held(ask(slots, asked)[-1]) == [
        0,
        [0],
        {"key0": KEYS[0].hex(), "cert0": (KEYS[0] + b" first").hex(), "slot": "0"},
    ]
