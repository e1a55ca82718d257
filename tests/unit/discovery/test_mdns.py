"""The network of this machine, really asked: somebody offers something there, and says what strangers might say."""

import socket
import uuid

import pytest
from zeroconf import ServiceInfo, Zeroconf

from fleetmint.discovery.mdns import GATEWAY, WORKSTATION, DiscoveryError, ask

LOOPBACK = "127.0.0.1"


@pytest.fixture
def offered():
    """Offer services, each under a name that no other test has."""
    network = Zeroconf(interfaces=[LOOPBACK])
    mark = f"t{uuid.uuid4().hex[:12]}"

    def offer(kind, name, **said):
        info = ServiceInfo(
            kind,
            f"{name}.{kind}",
            443,
            properties=said,
            server=f"{mark}.local.",
            addresses=[socket.inet_aton(LOOPBACK)],
        )
        network.register_service(info, cooperating_responders=True)
        return mark

    yield offer
    network.close()


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch):
    """No packet of a test goes to a real network."""
    monkeypatch.setattr("fleetmint.discovery.mdns.Zeroconf", lambda ip_version: Zeroconf(interfaces=[LOOPBACK]))


def test_who_offers_something_is_heard_with_what_it_says(offered):
    mark = offered(GATEWAY, "one", site="home", text="\x1b[2Jx" * 40)
    (answer,) = [each for each in ask([], 1.5) if each.host == f"{mark}.local"]
    assert (answer.service, answer.port, answer.addresses) == (GATEWAY, 443, (LOOPBACK,))
    assert answer.said["site"] == "home"
    assert answer.said["text"].isprintable()
    assert len(answer.said["text"]) < 100


def test_a_workstation_says_its_network_card(offered):
    mark = offered(WORKSTATION, "shed [B8:27:EB:01:02:03]")
    (answer,) = [each for each in ask([], 1.5) if each.host == f"{mark}.local"]
    assert answer.card == "b8:27:eb:01:02:03"


def test_a_name_alone_is_answered_with_its_addresses(offered):
    mark = offered(GATEWAY, "one")
    answers = ask([mark, "nobody-has-this-name"], 1.5)
    assert [each.addresses for each in answers if each.host == f"{mark}.local" and not each.service] == [(LOOPBACK,)]
    assert [each for each in answers if each.host.startswith("nobody")] == []


@pytest.mark.parametrize("error", [RuntimeError("No interfaces to listen on"), OSError("Network is unreachable")])
def test_a_machine_without_a_network_is_told_so(monkeypatch, error):
    def refuse(ip_version):
        raise error

    monkeypatch.setattr("fleetmint.discovery.mdns.Zeroconf", refuse)
    with pytest.raises(DiscoveryError, match=f"cannot ask by mDNS \\({error}\\): connect it"):
        ask([], 1)
