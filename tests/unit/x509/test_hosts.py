import subprocess

import pytest

from fleetmint.errors import NameRefusedError
from fleetmint.x509.hosts import HostRefusedError, bracketed, host

GOOD = [
    "gateway.local", "Gateway.Local", "gateway", "localhost", "3com.example", "a-b.example", "de--ab.example",
    "xn--mnchen-3ya.local", "192.0.2.7", "169.254.7.7", "127.0.0.1", "::1", "2001:db8::7", "a" * 63 + ".local",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_names_and_addresses_that_everybody_can_call_are_taken_as_they_are(text):
    assert host(text) == text


@pytest.mark.parametrize(("text", "wrong", "remedy"), [
    ("", "is empty", "write a host name or an address"),
    ("https://pi.example", "is a URL", "write pi.example"),
    ("https://me@pi.example:8443/x?y", "is a URL", "write pi.example"),
    ("http://[2001:db8::7]:80/", "is a URL", "write 2001:db8::7"),
    ("https://müller.example", "is a URL", "write xn--mller-kva.example"),
    ("pi.example/", "path", "write pi.example"),
    ("192.0.2.7/24", "path or a network", "write 192.0.2.7"),
    ("pi.example:443", "has a port", "write pi.example"),
    ("192.0.2.7:443", "has a port", "write 192.0.2.7"),
    ("pi@pi.example", "names a user", "write pi.example"),
    (" pi.example", "begins or ends with a blank", "write pi.example"),
    ("pi.example\n", "begins or ends with a blank", "write pi.example"),
    ("pi example", "a blank or an unseen", "without it"),
    ("pi\u200b.example", "a blank or an unseen", "without it"),
    ("[2001:db8::7]", "in brackets", "write 2001:db8::7"),
    ("[2001:db8::7]:443", "in brackets", "write 2001:db8::7"),
    ("fe80::7%eth0", "with a zone", "not link-local"),
    ("fe80::7", "link-local", "not link-local"),
    ("2001:DB8::7", "not the short form", "write 2001:db8::7"),
    ("2001:0db8:0::7", "not the short form", "write 2001:db8::7"),
    ("::ffff:192.0.2.7", "in the form of IPv6", "write 192.0.2.7"),
    ("2001:db8:::7", "no IPv6 address", "such as"),
    ("192.0.2.256", "no IPv4 address", "four numbers"),
    ("192.0.2", "no IPv4 address", "four numbers"),
    ("192.0.2.07", "no IPv4 address", "leading zeros"),
    ("192.0.2.7.1", "no IPv4 address", "four numbers"),
    ("0x7f.1", "no IPv4 address", "four numbers"),
    ("3221225991", "no IPv4 address", "four numbers"),
    ("0.0.0.0", "no single machine", "by which devices reach"),  # noqa: S104
    ("::", "no single machine", "by which devices reach"),
    ("239.1.2.3", "no single machine", "by which devices reach"),
    ("*.example", "wildcard", "each name in full"),
    ("pi.example.", "ends with a dot", "write pi.example"),
    ("pi..example", "nothing between two dots", "without that dot"),
    (".example", "nothing between two dots", "without that dot"),
    ("my_pi.example", "underscore", "write my-pi.example"),
    ("-pi.example", "no host name", "not first"),
    ("pi-.example", "no host name", "not last"),
    ("pi!.example", "no host name", "use a-z"),
    ("a" * 64 + ".example", "a part of 64", "63 at most"),
    ("x." * 127 + "xy", "has 256 characters", "253 at most"),
    ("xn--a.example", "stands for no other letters", "A-label"),
    (443, "is no text", "in quotes"),
    (None, "is no text", "in quotes"),
    (True, "is no text", "in quotes"),
])  # fmt: skip
def test_everything_else_is_refused_with_what_to_write(text, wrong, remedy):
    with pytest.raises(HostRefusedError) as refused:
        host(text)
    assert wrong in refused.value.wrong
    assert remedy in refused.value.remedy
    assert isinstance(refused.value, NameRefusedError)


@pytest.mark.parametrize(("text", "label"), [
    ("müller.example", "xn--mller-kva.example"),
    ("MÜLLER.example", "xn--mller-kva.example"),
    ("mu\u0308ller.example", "xn--mller-kva.example"),  # two characters that are one letter
    ("straße.example", "xn--strae-oqa.example"),  # since 2010 no ss any more
    ("пример.example", "xn--e1afmkfd.example"),
    ("例え。example", "xn--r8jz45g.example"),
])  # fmt: skip
def test_a_name_in_other_letters_is_refused_with_its_a_label(text, label):
    with pytest.raises(HostRefusedError) as refused:
        host(text)
    assert refused.value.remedy == f"write {label}"
    assert host(label) == label


def test_a_symbol_has_no_label_that_everybody_agrees_upon():
    with pytest.raises(HostRefusedError, match="write a name in a-z"):
        host("☃.example")


@pytest.mark.parametrize("text", GOOD)
def test_curl_calls_what_is_taken_and_nobody_has_to_answer(text):
    # everything is led to port 1 of this machine, so only what curl makes of the host itself can be wrong
    command = ["curl", "-sS", "--connect-to", "::127.0.0.1:1", f"https://{bracketed(text)}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
