"""The listeners of the broker, from outside. What counts is what is delivered: the broker grants what it then drops."""

import pytest

MARK = "that was all"


@pytest.fixture
def delivered(gateway, lamp, alice):
    """Return what `reader` hears of a message to `topic`: what comes before a mark that may be heard."""

    def hear(reader, filters, writer, topic):
        port, mark, marker = ("mqtt", f"devices/{reader.name}/in/mark", alice)
        if reader is alice:
            port, mark, marker = ("mqtt_operators", "devices/lamp-one/out/mark", lamp)
        options = [word for text in (mark, *filters) for word in ("-t", text)]
        with gateway.listening(port, reader, "-v", "-q", "1", *options) as listener:
            gateway.publish("mqtt_operators" if writer is alice else "mqtt", writer, topic, "hello")
            gateway.publish("mqtt_operators" if marker is alice else "mqtt", marker, mark, MARK)
            heard = []
            for line in listener.stdout:
                if line.rstrip().endswith(MARK):
                    return heard
                if line.startswith(("devices/", "$", "else")):
                    heard.append(line.strip())
        pytest.fail(f"{reader.name} was cut off: {heard}")

    return hear


def test_an_operator_hears_what_a_device_says(delivered, lamp, alice):
    topic = "devices/lamp-one/out/readings"
    assert delivered(alice, ["devices/#"], lamp, topic) == [f"{topic} hello"]


def test_a_device_hears_what_an_operator_tells_it(delivered, lamp, alice):
    topic = "devices/lamp-one/in/blink"
    assert delivered(lamp, ["devices/lamp-one/in/#"], alice, topic) == [f"{topic} hello"]


@pytest.mark.parametrize("topic", ["devices/lamp-one/out/readings", "devices/lamp-one/in/blink", "elsewhere"])
def test_a_device_cannot_speak_for_another(delivered, other_lamp, alice, lamp, topic):
    assert delivered(alice, ["devices/#", "elsewhere"], other_lamp, topic) == []
    assert delivered(lamp, ["devices/lamp-one/in/#"], other_lamp, topic) == []


@pytest.mark.parametrize("wanted", ["#", "devices/+/out/#", "devices/lamp-one/out/#", "$SYS/#"])
def test_a_device_cannot_listen_to_others(delivered, lamp, other_lamp, wanted):
    assert delivered(other_lamp, [wanted], lamp, "devices/lamp-one/out/readings") == []


def test_an_operator_cannot_speak_in_the_name_of_a_device(delivered, alice):
    assert delivered(alice, ["devices/#"], alice, "devices/lamp-one/out/readings") == []


@pytest.mark.parametrize("port", ["mqtt", "mqtt_operators"])
def test_whoever_belongs_to_a_listener_gets_in(gateway, lamp, alice, port):
    client = {"mqtt": lamp, "mqtt_operators": alice}[port]
    assert gateway.publish(port, client, "devices/lamp-one/in/x", "x").returncode == 0


@pytest.mark.parametrize("port", ["mqtt", "mqtt_operators"])
def test_a_stranger_gets_in_nowhere(gateway, stranger, port):
    assert gateway.publish(port, stranger, "devices/lamp-one/out/x", "x").returncode != 0


def test_a_device_does_not_get_through_the_operators_listener_whatever_its_name(gateway, lamp, impostor):
    for client in (lamp, impostor):
        assert gateway.publish("mqtt_operators", client, "devices/lamp-one/in/x", "x").returncode != 0


def test_an_operator_does_not_get_through_the_devices_listener(gateway, alice):
    assert gateway.publish("mqtt", alice, "devices/lamp-one/out/x", "x").returncode != 0


def test_a_client_without_certificate_gets_in_nowhere(gateway):
    for port in ("mqtt", "mqtt_operators"):
        assert gateway.publish(port, None, "x", "x").returncode != 0


def test_the_client_id_of_a_device_is_its_name_so_none_can_take_over_another(gateway, lamp, other_lamp, alice):
    with gateway.listening("mqtt", lamp, "-v", "-t", "devices/lamp-one/in/#") as listener:
        gateway.publish("mqtt", other_lamp, "x", "x", "-i", "lamp-one")
        gateway.publish("mqtt_operators", alice, "devices/lamp-one/in/still", "there")
        lines = []
        for line in listener.stdout:
            lines.append(line.strip())
            if line.startswith("devices/lamp-one/in/still"):
                break
        assert not [line for line in lines if "CONNECT" in line], "it was thrown out and came back"
