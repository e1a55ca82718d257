"""A small cut of `make campaign`: several stations, one PostgreSQL, every kind of bad board."""

from benchmarks import campaign


def test_no_identity_is_lost_or_given_twice_and_every_bad_board_is_set_aside(capsys):
    code = campaign.main(["--boards", "21", "--stations", "2", "--slots", "2", "--faults", "34"])
    told = capsys.readouterr().out
    assert code == 0, told
    assert "2 stations with 2 slots, one PostgreSQL: 15 different identities in 15 boards" in told
