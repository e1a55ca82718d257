"""Outbox and back-off of the C core do what those of the MicroPython agent do, whatever comes in which order."""

import json

import pytest

from tests.support.c_lines import ask, chance_of, data

pytestmark = pytest.mark.micropython

AGENT = """
from agent.outbox import Outbox
found = []
for messages, size, steps in stories:
    o = Outbox(lambda: 7, print, messages, size)
    for step in steps:
        try:
            if step[0] == "add": o.add(step[1], step[2])
            elif step[0] == "object": o.add(step[1], json.loads(step[2]), "reading" if step[3] else "message")
            elif step[0] == "take": o.take()
            elif step[0] == "sent" and o._sending: o.sent()
            elif step[0] == "release": o.release()
        except ValueError: pass
        found.append([[[topic, payload.decode()] for topic, payload, _ in o.items], o.lost])
result(found)
"""
BACKOFF = """
from agent.backoff import Backoff
from agent.errors import NoNetwork, Problem, Refused
kinds = [Problem, Refused, NoNetwork]
backoff, found = None, []
for kind, asked, chance in steps:
    if backoff is None or kind is None:
        backoff = Backoff(lambda size: chance_bytes)
    if kind is not None:
        chance_bytes = chance.to_bytes(2, "big")
        error = kinds[kind]("because")
        error.retry_after = asked
        found.append(backoff.after(error))
result(found)
"""


@pytest.fixture(scope="session")
def outbox(build):
    return build.program("test/outbox.c", "test/lines.c", *build.sources)


def ordered(held):
    """What is held, with the members of objects in one order: MicroPython's dicts have none."""
    items, lost = held
    return [[topic, sorted(json.loads(text).items()) if text[:1] == "{" else text] for topic, text in items], lost


def steps(chance):
    """What may happen to an outbox; the product's payloads are small and large, and some are none."""
    topics = ["readings", "door", "a/b", "", "#", "a/+", "t" * 30]
    for _ in range(60):
        what = chance.choice(["add", "add", "object", "take", "sent", "release"])
        topic = chance.choice(topics)
        if what == "add":
            yield what, topic, "x" * chance.choice([0, 1, 9, 20, 40, 41, 60])
        elif what == "object":
            members = {
                name: chance.choice([1, "two", [3]]) for name in chance.sample(["a", "b", "c"], chance.randrange(4))
            }
            yield what, topic, json.dumps(members), chance.randrange(2)
        else:
            yield (what,)


def test_what_is_kept_sent_and_lost_is_what_the_agent_keeps_sends_and_loses(outbox, board):
    # Room for one beside the one under way: where there is none the agent, whose memory has no end, keeps one more.
    stories = []
    for seed in range(60):
        chance = chance_of(seed)
        stories.append((chance.randrange(2, 6), chance.randrange(140, 220), list(steps(chance))))
    asked = []
    for messages, size, story in stories:
        asked.append([("begin", messages, size)])
        asked += [[step, ("all",)] for step in story]
    answers = iter(ask(outbox, [question for each in asked for question in each]))
    found = []
    for each in asked:
        *_, last = [next(answers) for _ in each]
        if len(each) == 2:
            words = [data(word).decode() for word in last[:-1]]
            found.append([[list(item) for item in zip(words[::2], words[1::2], strict=True)], int(last[-1])])
    wanted = board.run(AGENT, heap="32M", stories=stories)
    assert sum(lost for _, lost in wanted) > 100
    assert [ordered(each) for each in found] == [ordered(each) for each in wanted]


@pytest.mark.parametrize("text", ["", "[]", "1", '{"a":}', '{"n": 1}', '{"uptime": 1}', "{} {}"])
def test_what_is_no_object_to_count_is_refused(outbox, text):
    assert ask(outbox, [("begin", 4, 100), ("object", "t", text, 0), ("all",)])[1:] == [["BAD"], ["0"]]


@pytest.mark.parametrize("text", ["{}", " { } ", '{"a": 1}', '\n{"a": 1\t}\n'])
def test_an_object_is_completed_however_it_is_written(outbox, text):
    *_, (_, payload, _) = ask(outbox, [("begin", 4, 100), ("object", "t", text, 1), ("all",)])
    assert json.loads(data(payload)) == {**json.loads(text), "n": 1, "uptime": 7}


def test_what_does_not_fit_beside_the_message_under_way_is_lost(outbox):
    story = [("begin", 4, 50), ("add", "t", "x" * 40), ("take",), ("add", "t", "y" * 20), ("all",), ("sent",), ("all",)]
    answers = ask(outbox, story)
    assert answers[4] == [b"t".hex(), (b"x" * 40).hex(), "1"]
    assert answers[6] == ["1"]
    assert ask(outbox, [("begin", 1, 50), ("add", "t", "x"), ("take",), ("add", "t", "y"), ("all",)])[-1][-1] == "1"


def test_after_a_failure_the_device_waits_as_long_as_the_agent(outbox, board):
    chance = chance_of(4)
    tried = [(kind, asked, many) for kind in range(3) for asked in (0, 5, 30, 4000, 99999) for many in range(20)]
    walk = [(None, 0, 0) if many == 0 else (kind, asked, chance.randrange(1 << 16)) for kind, asked, many in tried]
    walk += [(chance.randrange(3), chance.choice([0, 0, 0, 77]), chance.choice([0, 0xFFFF])) for _ in range(30)]
    answers = ask(outbox, [("reset",) if kind is None else ("after", kind, asked, by) for kind, asked, by in walk])
    assert [int(answer[0]) for answer in answers if answer] == board.run(BACKOFF, heap="4M", steps=walk)
