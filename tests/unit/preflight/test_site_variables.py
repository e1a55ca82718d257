import pytest

from fleetmint.preflight.problem import report
from fleetmint.preflight.variables import CHECKED, OTHERS, Inventory, Unreadable, check_site

CONTROLLER = {"ansible_connection": "local"}
SITE = {
    "fleet_site": "workshop",
    "fleet_state_dir": "/home/me/state",
    "fleet_ca_dir": "/home/me/state/ca",
    "fleet_ca_passphrases": "vault:/home/me/passphrases",
    "fleet_station": "bench@workshop",
}
GATEWAY = {
    "fleet_gateway_names": ["pi.example", "192.0.2.7"],
    "fleet_https_port": 443,
    "fleet_operators_https_port": 8443,
    "fleet_mqtt_port": 8883,
    "fleet_operators_mqtt_port": 8884,
}
KNOWN = CHECKED | OTHERS | {"fleet_wifi", "nginx_client_timeout"}
PREFIXES = ("nginx_", "mosquitto_", "operators_")


def problems(gateways=None, typed=(), controller=CONTROLLER, **changed):
    """Return what is said of a site that is in order but for what is `changed`; None takes a variable away."""
    everybody = {name: value for name, value in (SITE | GATEWAY | changed).items() if value is not None}
    named = {name: everybody | own for name, own in (gateways or {"gateway": {}}).items()}
    return check_site(Inventory(controller and everybody | controller, named, KNOWN, PREFIXES, typed))


def only(found):
    assert len(found) == 1, report(found)
    return found[0]


def test_a_site_that_is_in_order_has_no_problems():
    assert problems() == []
    # text is what the command line gives
    assert problems(gateway_certificates_names=["more.example", "pi.example", "192.0.2.7"]) == []
    assert (
        problems(fleet_https_port="10443", fleet_listen_addresses=["192.0.2.7", "[::]"], operators_names=["a@b"]) == []
    )


def test_everything_is_named_at_once_with_variable_item_and_host():
    found = problems(fleet_site="Big Site", fleet_gateway_names=["pi.example", "a_b", "c:1"], fleet_mqtt_port="x")
    assert [(each.variable, each.index, each.hosts) for each in found] == [
        ("fleet_site", None, ("localhost",)),
        ("fleet_gateway_names", 1, ("gateway",)),
        ("fleet_gateway_names", 2, ("gateway",)),
        ("fleet_mqtt_port", None, ("gateway",)),
    ]
    text = report(found)
    assert text.startswith("4 things have to be mended")
    assert "- fleet_gateway_names[1] of gateway: 'a_b' has an underscore" in text
    assert len(text.splitlines()) == 5


@pytest.mark.parametrize("name", sorted(SITE | GATEWAY))
def test_what_has_to_be_said_is_missed(name):
    found = problems(**{name: None})
    assert [each.variable for each in found] == [name]
    assert "not set" in found[0].what


@pytest.mark.parametrize(("changed", "what"), [
    ({"fleet_gateway_names": "pi.example"}, "is no list"),  # its first letter would be the host
    ({"fleet_gateway_names": []}, "empty"),
    ({"fleet_gateway_names": ["pi.example", "PI.example"]}, "there twice"),
    ({"fleet_gateway_names": None, "fleet_site": "workshop"}, "not set"),
    ({"fleet_https_port": "https"}, "no port number"),
    ({"fleet_https_port": "0443"}, "no port number"),
    ({"fleet_https_port": True}, "no port number"),
    ({"fleet_https_port": 443.0}, "no port number"),
    ({"fleet_https_port": 0}, "no port 0"),
    ({"fleet_https_port": 65536}, "no port 65536"),
    ({"fleet_https_port": 8443}, "port 8443 is that of fleet_"),
    ({"fleet_mqtt_port": 443}, "port 443 is that of fleet_"),
    ({"fleet_operators_https_port": 80}, "port 80 is that of fleet_listen_http_port"),
    ({"fleet_operators_https_port": 22}, "port 22 is that of ssh"),
    ({"fleet_listen_https_port": 8443}, "port 8443 is that of"),
    ({"fleet_listen_http_port": 8883}, "port 8883 is that of fleet_listen_http_port"),
    ({"gateway_certificates_names": ["PI.example"]}, "'192.0.2.7' of fleet_gateway_names is not in it"),
    ({"gateway_firewall_mqtt_port": 0}, "no port 0"),
    ({"ansible_port": 8883}, "port 8883 is that of ssh"),
    ({"fleet_site": 1}, "is no text"),
    ({"fleet_state_dir": ""}, "empty"),
    ({"fleet_ca_dir": " "}, "empty"),
    ({"fleet_ca_root_dir": "/media/me\n"}, "unseen"),
    ({"fleet_site": "Workshop"}, "no site name"),
    ({"fleet_ca_passphrases": "/home/me/passphrases"}, "no source"),
    ({"fleet_ca_passphrases": "prompt:"}, "nothing to read prompt: from"),
    ({"fleet_station": "bench"}, "no operator name"),
    ({"operators_names": "alice@workshop"}, "no list"),
    ({"operators_names": ["alice@workshop", "bob"]}, "no operator name"),
    ({"operators_names": ["bench@workshop"]}, "is in fleet_station too"),
    ({"operators_names": ["a@b"], "operators_rsa_names": ["a@b"]}, "is in operators_names too"),
    ({"fleet_tls_profile": "modrn"}, "no choice"),
    ({"fleet_server_profiles": {"nginx": "rsa"}}, "no choice"),
    ({"fleet_server_profiles": {"apache": "server"}}, "no server"),
    ({"fleet_listen_addresses": ["::"]}, "not how nginx has it"),
    ({"fleet_listen_addresses": ["eth0"]}, "no address"),
    ({"nginx_hsts": "yes"}, "not understood"),
    ({"gateway_time_networks": ["192.168.0.0/33"]}, "no network"),
    ({"fleet_alert_command": "mail anna"}, "no list of words"),
    ({"fleet_alert_command": ["./tell"]}, "no program"),
    ({"mosquitto_session_expiry": "14 days"}, "not understood"),
    ({"gateway_certificates_days": 801}, "no number of days"),
    ({"gateway_certificates_days": 0}, "no number of days"),
    ({"gateway_base_updates_from": 750}, "no time of the day"),
    ({"gateway_base_updates_until": "24:00"}, "no time of the day"),
    ({"gateway_base_journal_size": "200"}, "not understood"),
    ({"gateway_base_mdns_name": "gateway.local"}, "not understood"),
])  # fmt: skip
def test_a_value_that_cannot_be_meant_is_one_problem(changed, what):
    assert what in only(problems(**changed)).what


def test_a_gateway_behind_a_router_may_listen_elsewhere_than_it_is_reached():
    assert problems(fleet_https_port=8080, fleet_listen_https_port=443, fleet_operators_https_port=80) != []
    assert problems(fleet_operators_https_port=80, fleet_listen_operators_https_port=8443) == []


TWO = ["two.example", "192.0.2.8"]


@pytest.mark.parametrize("names", [["PI.example"], ["two.example", "192.0.2.7"]])
def test_two_gateways_need_names_of_their_own(names):
    found = only(problems({"one": {}, "two": {"fleet_gateway_names": names}}))
    assert f"whoever calls {names[-1]!r} may come to one" in found.what
    assert found.index == len(names) - 1
    assert "host_vars/two.yml" in found.remedy
    assert problems({"one": {}, "two": {"fleet_gateway_names": TWO}}) == []


def test_two_gateways_behind_one_router_need_ports_of_their_own():
    ports = dict.fromkeys(("fleet_https_port", "fleet_mqtt_port", "fleet_operators_mqtt_port"))
    ports = {name: 10000 + number for number, name in enumerate(ports)}
    one_is_alike = problems({"one": {}, "two": ports})
    assert [each.variable for each in one_is_alike] == ["fleet_gateway_names"] * 2
    assert problems({"one": {}, "two": {**ports, "fleet_operators_https_port": 10443}}) == []


def test_one_machine_cannot_be_two_gateways():
    reached = {"ansible_host": "pi.example", "ansible_port": 2222}
    two = reached | {"fleet_gateway_names": TWO}
    found = only(problems({"one": reached, "two": two}))
    assert found.what == "two is the same machine as one (pi.example, SSH port 2222)"
    assert problems({"one": reached, "two": {**two, "ansible_port": 2223}}) == []
    assert problems({"one": reached, "two": {**two, "ansible_host": "two.example"}}) == []


@pytest.mark.parametrize("controller", [{}, {"ansible_connection": "ssh"}])
def test_the_controller_is_this_machine_and_named(controller):
    found = only(problems(controller=controller))
    assert found.variable == "localhost"
    assert "ansible_connection: local" in found.remedy


def test_without_a_gateway_there_is_no_site():
    assert "no host in this group" in only(check_site(Inventory(SITE | CONTROLLER, {}, KNOWN, PREFIXES))).what
    assert "no name of a gateway" in only(problems({"pi.example": {}})).what


@pytest.mark.parametrize(("name", "meant"), [
    ("fleet_gatway_names", "fleet_gateway_names"),
    ("fleet_operator_https_port", "fleet_operators_https_port"),
    ("Fleet_site", "fleet_site"),
    ("fleet_listen_operator_https_port", "fleet_listen_operators_https_port"),
    # the prefix itself: a letter missing, too many, another, two that changed places
    ("operator_names", "operators_names"),
    ("flleet_site", "fleet_site"),
    ("ngimx_hsts", "nginx_hsts"),
    ("felet_wifi", "fleet_wifi"),
])  # fmt: skip
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(name, meant):
    found = only(problems(**{name: "x"}))
    assert (found.variable, found.remedy) == (name, f"did you mean {meant}?")


@pytest.mark.parametrize(("name", "meant"), [("bacth", "batch"), ("devise", "device"), ("devices", "device")])
def test_what_is_typed_is_meant_for_a_play(name, meant):
    found = only(problems(typed=[name], **{name: "x"}))
    assert (found.variable, found.remedy) == (name, f"did you mean {meant}?")
    assert problems(**{name: "x"}) == []  # of one's own, in an inventory that other plays have too


def test_a_variable_that_claims_to_be_ours_is_refused_and_a_persons_own_is_not():
    for name in ("fleet_colour_of_the_box", "nginx_worker_niceness"):
        assert "nothing reads" in only(problems(**{name: 1})).what
    assert problems(my_pi="192.0.2.7", ansible_user="pi", __x=1, wifi_channel=6, my_device=1, site_names=[]) == []
    assert problems(typed=["my_pi"], my_pi="192.0.2.7") == []


def test_what_cannot_be_read_is_said_with_the_reason_and_not_as_missing():
    found = only(problems(fleet_site=Unreadable("'home' is undefined")))
    assert (found.what, found.remedy) == ("it cannot be read", "'home' is undefined")


def test_locations_are_refused_item_by_item():
    pages = {"listener": "devices", "path": "/hello/", "certificate": "none", "root": "/srv/hello"}
    found = problems(nginx_locations=[pages | {"path": "/v1/"}, pages, pages | {"path": "/x/", "root": "/etc"}])
    assert [(each.variable, each.index) for each in found] == [("nginx_locations", 0), ("nginx_locations", 2)]
    assert "is no list" in only(problems(nginx_locations=pages)).what
    assert problems(nginx_locations=[pages]) == []


def test_the_ports_of_classes_are_ports_like_others():
    own = {"https_port": 9443, "mqtt_port": 9883}
    assert problems(fleet_tls_classes={"modern": own, "tls12": {"https_port": 7443, "mqtt_port": "7883"}}) == []
    assert problems(fleet_tls_classes={"modern": own | {"https_port": 10443, "listen_https_port": 9443}}) == []
    # told where another is, listening where another is, and the same as the other one of the class
    for changed in ({"https_port": 443}, {"listen_mqtt_port": 80}, {"mqtt_port": 9443}, {"listen_https_port": 22}):
        found = only(problems(fleet_tls_classes={"modern": own | changed}))
        assert found.variable == "fleet_tls_classes"
        assert "is that of" in found.what


@pytest.mark.parametrize(("classes", "what"), [
    (["modern"], "no mapping"),
    ({"tls13": {"https_port": 1, "mqtt_port": 2}}, "no class 'tls13'"),
    ({"modern": {"https_port": 9443}}, "modern has to have https_port and mqtt_port"),
    ({"modern": 9443}, "modern has to have"),
    ({"modern": {"https_port": 9443, "mqtt_port": 70000}}, "modern.mqtt_port: there is no port 70000"),
    ({"modern": {"https_port": 9443, "mqtt_port": 9883, "port": 1}}, "'port' is nothing that a class has"),
])  # fmt: skip
def test_a_class_without_clear_ports_is_refused(classes, what):
    assert what in only(problems(fleet_tls_classes=classes)).what
