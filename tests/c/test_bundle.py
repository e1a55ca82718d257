"""Trust bundles in the C core: read, and refused or taken, as the controller's library does."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.errors import StateError
from fleetmint.trust import bundle as library
from fleetmint.trust import release_key
from tests.support import c_bearssl, c_esp32
from tests.support.c_lines import ask, chance_of, data
from tests.support.firmware_site import issuing, make_site

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SOURCES = ("test/bundle.c", "test/lines.c", "test/memory_kv.c")


@pytest.fixture(scope="module")
def site():
    return make_site(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(scope="module", params=[c_bearssl, c_esp32], ids=["bearssl", "mbedtls"])
def device(build, request):
    return request.param.program(build, *SOURCES)


def replaced(site, generation=1, **changes):
    """A bundle after the release key was replaced on the word of the spare; `endorser` gives another one's word."""
    key, endorser = ec.generate_private_key(ec.SECP256R1()), changes.pop("endorser", site.spare)
    keys = site.new_keys(key, endorser)
    return site.bundle(keys=keys, key=changes.pop("key", key), **changes)


def offers(site):
    """Bundles that a device that holds version 7 may be offered, good ones and others."""
    other, again = ec.generate_private_key(ec.SECP256R1()), site.bundle(8)
    yield from (site.bundle(version) for version in (1, 6, 7, 8, 9, 0xFFFFFFFF))
    yield site.bundle(8, site="test2")
    yield site.bundle(8, key=other)
    yield site.bundle(8, key=site.spare)
    yield site.bundle(8, anchors=site.anchors[:1])
    own = release_key.ReleaseKeys(0, release_key.point(other.public_key()), again.keys.spare)
    yield site.bundle(8, keys=own, key=other)
    yield replaced(site)
    yield replaced(site, version=1)
    yield replaced(site, endorser=other)
    yield replaced(site, endorser=site.release_key)
    yield replaced(site, key=other)
    yield replaced(site, key=site.release_key)


def reason_of(refusal):
    return "it is taken" if refusal is None else refusal


def test_what_is_offered_is_taken_or_refused_as_the_library_says(device, site):
    held, offered = site.bundle(7), list(offers(site))
    questions = [(("burn", held.encode()), ("offer", each.encode()), ("held",)) for each in offered]
    answers = iter(ask(device, [question for each in questions for question in each]))
    refusals = [library.refusal(held, each) for each in offered]
    assert {refusal is None for refusal in refusals} == {True, False}
    for each, refusal in zip(offered, refusals, strict=True):
        _, (reason, result), (loaded, there) = (next(answers) for _ in range(3))
        said = data(reason).decode()
        if refusal is not None and "newer" in refusal:
            assert said == "it is not newer"
        elif refusal is not None and "of the site" in refusal:
            assert said == "it is of another site"
        else:
            assert said == reason_of(refusal)
        assert (result == "0") == (refusal is None)
        assert loaded == "0"
        assert data(there) == (each if refusal is None else held).encode()


def test_one_changed_bit_anywhere_is_refused(device, site):
    held, offered = site.bundle(7).encode(), bytearray(site.bundle(8).encode())
    chance = chance_of(11)
    changed = []
    for place in chance.sample(range(len(offered)), 150):
        copy = bytearray(offered)
        copy[place] ^= 1 << chance.randrange(8)
        changed.append(bytes(copy))
    answers = ask(
        device, [("burn", held), *(("offer", each) for each in changed), ("held",), ("offer", bytes(offered))]
    )
    assert all(answer[-1] != "0" for answer in answers[1:-2])
    assert data(answers[-2][1]) == held
    assert answers[-1][-1] == "0"


@pytest.mark.parametrize("survives", [0, 1])
@pytest.mark.parametrize("write", [1, 2])
def test_a_power_cut_leaves_the_old_bundle_or_the_new_one(device, site, write, survives):
    held, offered = site.bundle(7).encode(), site.bundle(8).encode()
    story = [
        ("burn", held),
        ("cut", write, survives),
        ("offer", offered),
        ("cut", 0, 0),
        ("held",),
        ("offer", offered),
        ("held",),
    ]
    _, _, cut, _, after, again, last = ask(device, story)
    # there is one write
    assert (cut[-1] == "CUT") == (write == 1)
    assert after[0] == "0"
    assert data(after[1]) == (offered if survives or write == 2 else held)
    assert again[-1] in ("0", "2")
    assert data(last[1]) == offered


NEWS = {"0.7": 0, "0.8": 1, "0.6": -1, "1.1": 1, "0.4294967295": 1, "00.08": 1, "9999999999.1": 1}
UNREADABLE = ["", "8", ".8", "0.", "0.8.9", "0.+8", "-1.8", "0.8 ", "0.99999999999"]


def test_the_gateway_tells_by_a_label_whether_there_is_news(device, site):
    told = {**NEWS, **dict.fromkeys(UNREADABLE, 0)}
    _, *answers = ask(device, [("burn", site.bundle(7).encode()), *(("told", label) for label in told)])
    assert {label: int(answer[0]) - 1 for label, answer in zip(told, answers, strict=True)} == told


def test_a_device_without_a_usable_bundle_says_so(device, site):
    for burned in (b"", b"FMTB", site.bundle(7).encode()[:-1], b"x" * 4000):
        assert ask(device, [("burn", burned), ("held",)])[1] == ["BAD"]
    assert ask(device, [("held",)]) == [["ABSENT"]]


def test_bundles_are_read_as_the_library_writes_them(device, site):
    made = [site.bundle(), site.bundle(0xFFFFFFFF, created=EPOCH + timedelta(seconds=0xFFFFFFFF)), replaced(site)]
    more = [
        issuing(site.root, "server-ca", site.made).certificate.public_bytes(library.serialization.Encoding.DER)
        for _ in "ab"
    ]
    made += [
        site.bundle(site="x" * 31),
        site.bundle(site="ab", anchors=(*site.anchors, *more)),
        site.bundle(site="9-9"),
    ]
    for each, answer in zip(made, ask(device, [("read", each.encode()) for each in made]), strict=True):
        result, label, name, created, keys, endorsement, signature, *anchors = answer
        assert (result, label, data(name).decode()) == ("0", each.label, each.site)
        assert EPOCH + timedelta(seconds=int(created)) == each.created
        assert data(keys) + data(endorsement) == each.keys.encode()
        assert (data(signature), tuple(data(anchor) for anchor in anchors)) == (each.signature, each.anchors)


def test_what_the_library_does_not_decode_no_device_reads(device, site):
    """Cut at every place, longer, of another magic, with names that no site has, with numbers out of bounds."""
    whole = site.bundle().encode()
    texts = [whole[:size] for size in range(len(whole))] + [whole + b"\0", whole + bytes(3000), b"fMTB" + whole[4:]]
    texts += [site.bundle(site=name).encode() for name in ("a", "x" * 32, "-ab", "Ab", "a b", "a_b")]
    texts += [
        site.bundle(0).encode(),
        site.bundle(anchors=()).encode(),
        site.bundle(anchors=site.anchors[:1] * 5).encode(),
    ]
    texts += [site.bundle(anchors=(b"x",)).encode(), site.bundle(anchors=(site.anchors[0] + b"\0",)).encode()]
    first, later = site.bundle().keys, replaced(site).keys
    texts.append(site.bundle(keys=release_key.ReleaseKeys(0, first.release, first.spare, later.endorsement)).encode())
    texts.append(site.bundle(keys=release_key.ReleaseKeys(1, first.release, first.spare)).encode())
    for each in texts:
        with pytest.raises(StateError):
            library.decode(each, "it")
    assert ask(device, [("read", each) for each in texts]) == [["BAD"]] * len(texts)
