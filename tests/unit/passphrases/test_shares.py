import itertools
import re

import pytest

from fleetmint import passphrases
from fleetmint.errors import SecretError
from fleetmint.passphrases import shares

ROOT = bytes(range(32))
FINGERPRINT = ":".join(f"{byte:02X}" for byte in ROOT)


@pytest.fixture
def secret():
    return shares.new_secret()


def test_any_two_of_four_shares_restore_the_secret_and_no_single_one_does(secret):
    parts = shares.split(secret, ROOT, 4, 2)
    assert {shares.join(chosen) for chosen in itertools.combinations(parts, 2)} == {secret}
    for part in parts:
        assert part.value != secret
        with pytest.raises(SecretError, match=r"2 shares are needed, and there are 1 \(number \d\)"):
            shares.join([part, part])


def test_the_passphrase_has_128_random_bits(secret):
    assert len(secret) == 16
    assert secret != shares.new_secret()
    assert re.fullmatch(rb"[A-Z2-7]{26}", shares.passphrase(secret))


def test_a_share_survives_being_printed_and_being_typed_carelessly(secret):
    for part in shares.split(secret, ROOT, 5, 3):
        assert shares.read_share(shares.printed(part, "test", FINGERPRINT)) == part
        assert shares.read_share(shares.code(part)) == part
        careless = shares.code(part).lower().replace("-", " ").replace("o", "0").replace("i", "1").replace("b", "8")
        assert shares.read_share(careless) == part


def test_the_paper_says_whose_it_is_and_how_many_are_needed(secret):
    paper = shares.printed(shares.split(secret, ROOT, 5, 3)[1], "workshop", FINGERPRINT)
    assert "share 2 of 5" in paper
    assert "any 3 of them" in paper
    assert "workshop" in paper
    assert FINGERPRINT in re.sub(r"\n +", "", paper)
    assert max(map(len, paper.splitlines())) <= 120


def test_every_single_wrong_letter_is_noticed(secret):
    text = shares.code(shares.split(secret, ROOT, 3, 2)[0])
    for at, letter in enumerate(text):
        if letter in "-\n":
            continue
        wrong = text[:at] + ("A" if letter != "A" else "C") + text[at + 1 :]
        with pytest.raises(SecretError, match="checksum") as error:
            shares.read_share(wrong)
        assert letter * 4 not in str(error.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has 48 letters and digits, and this has 0"),
        ("A" * 47, "this has 47"),
        ("9" * 48, "only the letters A to Z"),
    ],
)
def test_what_is_no_share_is_refused(text, why):
    with pytest.raises(SecretError, match=why):
        shares.read_share(text)


def test_shares_of_two_roots_do_not_mix(secret):
    ours, theirs = shares.split(secret, ROOT, 3, 2), shares.split(secret, bytes(32), 3, 2)
    with pytest.raises(SecretError, match="different roots"):
        shares.join([ours[0], theirs[1]])


@pytest.mark.parametrize(("count", "needed"), [(3, 1), (2, 3), (21, 2), (0, 0)])
def test_numbers_that_make_no_sense_are_refused(secret, count, needed):
    with pytest.raises(SecretError, match="cannot be"):
        shares.split(secret, ROOT, count, needed)


def test_no_share_is_shown_when_it_is_printed_by_accident(secret):
    part = shares.split(secret, ROOT, 3, 2)[0]
    assert part.value.hex() not in repr(part)
    assert repr(part.value) not in repr(part)


def test_a_directory_of_papers_is_a_source_of_the_root_passphrase_alone(secret, tmp_path):
    for part in shares.split(secret, ROOT, 5, 3)[1:4]:
        (tmp_path / f"share-{part.number}.txt").write_text(shares.printed(part, "test", FINGERPRINT))
    source = passphrases.open_source(f"shares:{tmp_path}")
    assert source.read("root") == shares.passphrase(secret)
    with pytest.raises(SecretError, match="shares open the root only"):
        source.read("issuing")
    (tmp_path / "share-2.txt").write_text("smudged")
    with pytest.raises(SecretError, match=r"share-2\.txt: the code of a share"):
        passphrases.open_source(f"shares:{tmp_path}").read("root")
