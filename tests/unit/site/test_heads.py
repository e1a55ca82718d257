"""What the controller remembers of a gateway's chain of events."""

from multiprocessing import get_context

from fleetmint.ledger.head import Head
from fleetmint.site import heads
from fleetmint.site.heads import Seen
from fleetmint.site.state import Site


def seen(seq, now, **options):
    return Seen(Head("a" * 64, seq, f"{seq:064x}"), now, "answer", **options)


def test_what_is_seen_while_others_are_compared_is_still_to_be_compared(tmp_path, now):
    memory = heads.change(Site(tmp_path), "gateway", lambda memory: memory.with_head(seen(3, now)))
    heads.change(Site(tmp_path), "gateway", lambda memory: memory.with_head(seen(9, now)))
    heads.change(
        Site(tmp_path), "gateway", lambda current: current.with_checked(memory.heads, seen(7, now, checked=True))
    )
    found = heads.recall(Site(tmp_path), "gateway").heads
    assert [(each.head.seq, each.checked) for each in found] == [(3, True), (7, True), (9, False)]


def _remember(directory, numbers, now):
    for number in numbers:
        heads.change(Site(directory), "gateway", lambda memory, seq=number: memory.with_head(seen(seq, now)))


def test_of_several_stations_none_forgets_what_another_has_seen(tmp_path, now):
    context = get_context("fork")
    running = [context.Process(target=_remember, args=(tmp_path, range(n, 40, 4), now)) for n in range(1, 5)]
    for each in running:
        each.start()
    for each in running:
        each.join(30)
    found = heads.recall(Site(tmp_path), "gateway").heads
    assert [each.head.seq for each in found] == list(range(1, 40))


def test_a_directory_that_cannot_be_written_ends_no_command(tmp_path, now):
    (tmp_path / "heads").write_text("a file, where a directory is needed")
    heads.remember(Site(tmp_path), "gateway", seen(3, now).head.text())
    assert "how far the ledger of gateway was is not remembered" in heads.notices.take()[0]
