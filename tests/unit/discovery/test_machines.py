"""What is a gateway or a Raspberry Pi, and what is typed to reach it."""

import pytest

from fleetmint.discovery.machines import machines
from fleetmint.discovery.mdns import GATEWAY, WORKSTATION, Answer
from fleetmint.discovery.neighbours import _linux, _others, of_a_pi

PI_CARD = "b8:27:eb:01:02:03"


def nobody_resolves(name):
    return []


def found(*answers, cards=None, names=(), resolve=nobody_resolves):
    return machines(answers, cards or {}, names, resolve)


def test_a_gateway_says_that_it_is_one_with_its_ports_and_its_site():
    (machine,) = found(Answer("gateway.local", ("192.0.2.7",), GATEWAY, 443, said={"site": "home"}))
    assert machine.is_gateway
    assert (machine.reach, machine.ports, machine.said["site"]) == ("192.0.2.7", (443,), "home")


@pytest.mark.parametrize("host", ["raspberrypi.local", "RaspberryPi.local", "raspberrypi-2.local"])
def test_a_fresh_pi_is_known_by_its_name(host):
    (machine,) = found(Answer(host, ("192.0.2.8",)))
    assert not machine.is_gateway
    assert machine.reasons == ("has the name of a fresh Raspberry Pi",)


def test_a_pi_with_another_name_is_known_by_its_card_or_by_being_asked_for():
    by_service = found(Answer("shed.local", ("192.0.2.8",), WORKSTATION, 9, PI_CARD))
    by_table = found(Answer("shed.local", ("192.0.2.8",), "_ssh._tcp.local.", 22), cards={"192.0.2.8": PI_CARD})
    assert [each.reasons for each in (*by_service, *by_table)] == [
        (f"has a network card of Raspberry Pi ({PI_CARD})",)
    ] * 2
    (named,) = found(Answer("shed.local", ("192.0.2.8",)), names=["shed"])
    assert named.reasons == ("has the name that was asked for",)


def test_a_pi_that_tells_no_name_is_found_by_its_card_once_however_many_addresses_it_has():
    (machine,) = found(cards={"192.0.2.8": PI_CARD, "fe80::1%eth0": PI_CARD, "192.0.2.9": "00:11:22:33:44:55"})
    assert (machine.host, machine.reach) == ("", "192.0.2.8")


def test_any_other_computer_is_left_out():
    assert found(Answer("laptop.local", ("192.0.2.9",), "_ssh._tcp.local.", 22)) == []
    assert found(Answer("notraspberrypi.local", ("192.0.2.9",))) == []
    assert found(Answer("raspberrypi.local", ())) == []  # nobody could call it


def test_a_name_is_used_only_where_it_leads_to_the_same_machine_from_here():
    answer = Answer("raspberrypi.local", ("192.0.2.8", "2001:db8::8"))
    assert found(answer, resolve=lambda name: ["2001:db8::8"])[0].reach == "raspberrypi.local"
    assert found(answer, resolve=lambda name: ["198.51.100.1"])[0].reach == "192.0.2.8"


@pytest.mark.parametrize("host", ["-oProxyCommand=reboot.local", "a;reboot.local", "$(reboot).local", "a b.local", "x"])
def test_a_name_that_a_shell_could_take_for_more_is_never_to_be_typed(host):
    (machine,) = found(Answer(host, ("192.0.2.8",), GATEWAY, 443), resolve=lambda name: ["192.0.2.8"])
    assert machine.reach == "192.0.2.8"


def test_addresses_that_reach_far_come_before_those_of_one_link():
    (machine,) = found(Answer("raspberrypi.local", ("fe80::8%eth0", "2001:db8::8", "127.0.0.1", "192.0.2.8")))
    assert machine.addresses[0] == "192.0.2.8"
    assert machine.addresses[-1] == "127.0.0.1"


def test_the_table_of_neighbours_is_read_as_linux_and_macos_print_it():
    linux = (
        '[{"dst":"192.0.2.8","dev":"eth0","lladdr":"DC:A6:32:01:02:03","state":["STALE"]},'
        '{"dst":"fe80::8","dev":"eth0","lladdr":"dc:a6:32:01:02:03","state":["REACHABLE"]},'
        '{"dst":"192.0.2.9","dev":"eth0","state":["FAILED"]}]'
    )
    assert _linux(linux) == {"192.0.2.8": "dc:a6:32:01:02:03", "fe80::8%eth0": "dc:a6:32:01:02:03"}
    macos = "? (192.0.2.8) at dc:a6:32:1:2:3 on en0 ifscope [ethernet]\n? (192.0.2.9) at (incomplete) on en0\n"
    assert _others(macos) == {"192.0.2.8": "dc:a6:32:01:02:03"}
    assert of_a_pi("DC:A6:32:01:02:03")
    assert not of_a_pi("00:11:22:33:44:55")
