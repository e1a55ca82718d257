"""Our verdicts beside those of `openssl verify`, which decides at the listeners."""

import ipaddress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from fleetmint.ca import listeners
from fleetmint.ca.crls import plan_authority_crl
from fleetmint.x509 import compat, keys, names, revocation
from fleetmint.x509.authority import pem
from fleetmint.x509.profiles import CLIENT, SERVER
from fleetmint.x509.verify import verify

CLIENT_USAGE = x509.ExtendedKeyUsage([CLIENT])
SERVER_USAGE = x509.ExtendedKeyUsage([SERVER])


def mint(ca, unit, name, now, *extensions, begin=-1, end=24, key=None):
    """Sign what the holder of the CA's key could sign. Times in hours from now."""
    key = key or keys.new_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(names.subject("test", unit, name))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(hours=begin))
        .not_valid_after(now + timedelta(hours=end))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(ca.key, hashes.SHA256())


@pytest.fixture
def device_crl(hierarchy, now):
    authority = hierarchy.authority("device-gateway")
    return revocation.build_crl(authority, [], number=1, now=now, lifetime=timedelta(days=7))


@pytest.fixture
def judged(hierarchy, openssl, tmp_path, now, device_crl):
    """Return our verdict after checking that openssl says the same."""

    def judge(leaf, kind, *sent, crls=(device_crl,), host=None):
        listener = listeners.open_listener(hierarchy, kind, crls if kind == "device" else ())
        verdict = verify(leaf, sent, listener, now, host)
        trust, pool, lists = tmp_path / "trust.pem", tmp_path / "pool.pem", tmp_path / "lists.pem"
        trust.write_bytes(pem(*listener.anchors))
        pool.write_bytes(pem(*listener.issuing, *sent, *listener.anchors))
        lists.write_bytes(b"".join(revocation.crl_pem(crl) for crl in listener.crls or ()))
        (tmp_path / "leaf.pem").write_bytes(pem(leaf))
        command = ["verify", "-CAfile", trust, "-untrusted", pool, "-attime", int(now.timestamp())]
        if kind == "server":
            command += ["-purpose", "sslserver", "-partial_chain"]
            command += [] if host is None else ["-verify_hostname", host]
        else:
            command += ["-purpose", "sslclient", "-crl_check_all", "-CRLfile", lists]
        done = openssl(*command, tmp_path / "leaf.pem")
        assert (done.returncode == 0) == verdict.accepted, (verdict, done.stderr.decode())
        return verdict

    return judge


GOOD = [
    ("operator", "operator", "alice@test", "operator", ()),
    ("operator", "station", "bench@test", "operator", ()),
    ("operator", "dashboard", "wall@test", "operator", ()),
    ("factory", "factory-device", "lamp-000001", "device", ()),
    ("device-gateway", "device", "lamp-000001", "device", ()),
    ("server", "server", "gateway", "server", ("gateway.local", "192.0.2.1")),
    ("server-next", "server", "gateway", "server", ("gateway.local",)),
]


@pytest.mark.parametrize(("ca", "profile", "name", "kind", "sans"), GOOD)
def test_what_the_cas_issue_is_accepted_at_its_own_listener_and_refused_at_the_others(
    hierarchy, judged, now, ca, profile, name, kind, sans
):
    leaf = hierarchy.authority(ca).issue(profile, keys.new_key().public_key(), name, now=now, sans=sans)
    for listener in listeners.KINDS:
        assert judged(leaf, listener).accepted == (listener == kind)


def test_the_chain_is_told_from_leaf_to_root(hierarchy, judged, now):
    leaf = hierarchy.authority("operator").issue("operator", keys.new_key().public_key(), "alice@test", now=now)
    assert judged(leaf, "operator").chain == ("alice@test", "test operator CA", "test root")


@pytest.mark.parametrize("unit", ["devices", "operators"])
@pytest.mark.parametrize("ca", ["factory", "device-gateway"])
def test_a_device_cas_leaf_named_like_an_operator_is_refused_at_the_operators_port(hierarchy, judged, now, ca, unit):
    authority = hierarchy.authority(ca)
    leaf = mint(authority, unit, "alice@test", now)
    assert "under a CA" in judged(leaf, "operator").reasons[0]
    sent = judged(leaf, "operator", authority.certificate)
    assert any("no CRL of" in reason for reason in sent.reasons)


@pytest.mark.parametrize(
    ("unit", "extension", "reason"),
    [
        ("operators", None, "OU=operators,O=test (name constraints)"),
        ("devices", x509.DNSName("lamp.example"), "'lamp.example' (name constraints)"),
        ("devices", x509.IPAddress(ipaddress.ip_address("192.0.2.1")), "'192.0.2.1' (name constraints)"),
        ("devices", x509.IPAddress(ipaddress.ip_address("2001:db8::1")), "(name constraints)"),
        ("devices", x509.RFC822Name("alice@example.org"), "'alice@example.org' (name constraints)"),
    ],
)
def test_names_outside_the_constraints_are_refused(hierarchy, judged, now, unit, extension, reason):
    extensions = [(CLIENT_USAGE, False)]
    if extension is not None:
        extensions.append((x509.SubjectAlternativeName([extension]), False))
    verdict = judged(mint(hierarchy.authority("device-gateway"), unit, "lamp-000001", now, *extensions), "device")
    assert any(reason in found for found in verdict.reasons), verdict


def test_usages_are_those_of_the_listener(hierarchy, judged, now):
    factory = hierarchy.authority("factory")
    wrong = judged(mint(factory, "devices", "lamp-000001", now, (SERVER_USAGE, False)), "device")
    assert "no certificate for clients" in wrong.reasons[0]
    assert judged(mint(factory, "devices", "lamp-000001", now), "device").accepted  # without any, as OpenSSL has it
    no_signing = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    assert (
        "may not sign a handshake"
        in judged(mint(factory, "devices", "lamp-000001", now, (no_signing, True)), "device").reasons[0]
    )


@pytest.mark.parametrize(
    ("kind", "ca", "unit", "name"),
    [
        ("device", "device-gateway", "devices", "lamp-000001"),
        ("device", "factory", "devices", "lamp-000001"),
        ("operator", "operator", "operators", "alice@test"),
        ("server", "server", "gateways", "gateway"),
    ],
)
def test_a_leaf_that_calls_itself_a_ca_is_refused_though_openssl_takes_it(
    hierarchy, now, device_crl, openssl, tmp_path, kind, ca, unit, name
):
    leaf = mint(hierarchy.authority(ca), unit, name, now, (x509.BasicConstraints(True, None), True))
    verdict = verify(leaf, (), listeners.open_listener(hierarchy, kind, [device_crl]), now)
    assert verdict.reasons == (f"{name} calls itself a CA (basic constraints), and no client or server of ours is one",)
    assert verify(
        mint(hierarchy.authority(ca), unit, name, now, (x509.BasicConstraints(False, None), True)), (),
        listeners.open_listener(hierarchy, kind, [device_crl]), now,
    ).accepted  # fmt: skip
    for file, certificate in (("leaf", leaf), ("anchor", hierarchy.authority(ca).certificate)):
        (tmp_path / file).write_bytes(pem(certificate))
    at = ["-attime", int(now.timestamp())]
    assert openssl("verify", "-partial_chain", *at, "-CAfile", tmp_path / "anchor", tmp_path / "leaf").returncode == 0


def test_an_unknown_critical_extension_is_refused(hierarchy, judged, now):
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    verdict = judged(mint(hierarchy.authority("factory"), "devices", "lamp-000001", now, (strange, True)), "device")
    assert "1.2.3.4.5" in verdict.reasons[0]


@pytest.mark.parametrize(("begin", "end", "reason"), [(-9, -1, "ended on"), (1, 9, "not valid before")])
def test_dates_count(hierarchy, judged, now, begin, end, reason):
    leaf = mint(hierarchy.authority("factory"), "devices", "lamp-000001", now, begin=begin, end=end)
    assert reason in judged(leaf, "device").reasons[0]


@pytest.mark.parametrize("ca", [False, True])
def test_a_leaf_issues_nothing_whether_it_says_it_is_a_ca_or_not(hierarchy, judged, now, ca):
    from fleetmint.x509.authority import Authority

    key = keys.new_key()
    usage = x509.KeyUsage(True, False, False, False, False, ca, ca, False, False)
    middle = mint(
        hierarchy.authority("factory"), "devices", "lamp-000001", now,
        (x509.BasicConstraints(ca, None), True), (usage, True), key=key,
    )  # fmt: skip
    verdict = judged(mint(Authority(middle, key), "devices", "lamp-000002", now), "device", middle)
    assert any(("path length" if ca else "is no CA") in reason for reason in verdict.reasons), verdict


def test_what_is_revoked_is_refused_and_says_since_when(hierarchy, judged, now):
    leaf = hierarchy.authority("operator").issue("operator", keys.new_key().public_key(), "alice@test", now=now)
    plan_authority_crl(hierarchy, "operator", [leaf.serial_number], now).apply()
    assert judged(leaf, "operator").reasons == (f"alice@test is revoked since {now:%Y-%m-%d %H:%M}Z",)


def test_under_a_revoked_ca_everything_is_refused(hierarchy, judged, now):
    factory = hierarchy.authority("factory")
    leaf = factory.issue("factory-device", keys.new_key().public_key(), "lamp-000001", now=now)
    plan_authority_crl(hierarchy, "root", [factory.certificate.serial_number], now).apply()
    assert "test factory CA is revoked" in judged(leaf, "device").reasons[0]


def test_without_a_crl_that_lasts_its_certificates_are_refused(hierarchy, judged, now):
    authority = hierarchy.authority("device-gateway")
    leaf = authority.issue("device", keys.new_key().public_key(), "lamp-000001", now=now)
    assert "have no CRL of" in judged(leaf, "device", crls=()).reasons[0]
    old = revocation.build_crl(authority, [], number=1, now=now - timedelta(days=9), lifetime=timedelta(days=7))
    assert "ended on" in judged(leaf, "device", crls=(old,)).reasons[0]
    coming = revocation.build_crl(authority, [], number=1, now=now + timedelta(days=2), lifetime=timedelta(days=7))
    assert "begins on" in judged(leaf, "device", crls=(coming,)).reasons[0]


def test_the_crl_of_another_ca_of_the_same_name_counts_for_nothing(hierarchy, judged, now):
    authority = hierarchy.authority("device-gateway")
    leaf = authority.issue("device", keys.new_key().public_key(), "lamp-000001", now=now)
    impostor = type(authority)(authority.certificate, keys.new_key())
    forged = revocation.build_crl(impostor, [], number=9, now=now, lifetime=timedelta(days=7))
    assert not judged(leaf, "device", crls=(forged,)).accepted


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("gateway.local", True), ("GATEWAY.local", True), ("other.local", False), ("local", False),
        ("a.wild.test", True), ("a.b.wild.test", False), ("wild.test", False),
    ],
)  # fmt: skip
def test_a_server_is_accepted_under_its_own_names_only(hierarchy, judged, now, host, good):
    leaf = hierarchy.authority("server").issue(
        "server", keys.new_key().public_key(), "gateway", now=now, sans=("gateway.local", "*.wild.test")
    )
    assert judged(leaf, "server", host=host).accepted == good


def test_an_address_is_compared_as_one(hierarchy, now):
    leaf = hierarchy.authority("server").issue(
        "server", keys.new_key().public_key(), "gateway", now=now, sans=("192.0.2.1",)
    )
    listener = listeners.open_listener(hierarchy, "server")
    assert verify(leaf, (), listener, now, "192.0.2.1").accepted
    assert "only for 192.0.2.1" in verify(leaf, (), listener, now, "192.0.2.2").reasons[0]


def test_a_second_ou_is_refused_behind_the_listener(hierarchy, now, device_crl):
    authority, key = hierarchy.authority("device-gateway"), keys.new_key()
    parts = list(names.subject("test", "devices", "lamp-000001"))
    second = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "operators")
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*parts[:2], second, *parts[2:]]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .sign(authority.key, hashes.SHA256())
    )
    (reason,) = verify(leaf, (), listeners.open_listener(hierarchy, "device", [device_crl]), now).reasons
    assert reason.startswith("its OU is devices, operators")


def test_a_client_minted_by_a_server_ca_is_refused_even_where_its_crl_is_known(hierarchy, judged, now, device_crl):
    authority = hierarchy.authority("server")
    crl = revocation.build_crl(authority, [], number=1, now=now, lifetime=timedelta(days=7))
    leaf = mint(authority, "devices", "lamp-000001", now)
    verdict = judged(leaf, "device", authority.certificate, crls=(device_crl, crl))
    assert verdict.reasons == ("test server CA issues no certificates for clients (extended key usage)",)


def test_a_server_minted_by_a_client_ca_is_refused_by_devices(hierarchy, judged, now):
    authority = hierarchy.authority("device-gateway")
    san = x509.SubjectAlternativeName([x509.DNSName("gateway.local")])
    leaf = mint(authority, "gateways", "gateway", now, (SERVER_USAGE, False), (san, False))
    assert "under a CA that devices trust" in judged(leaf, "server", authority.certificate).reasons[0]


def test_a_certificate_of_a_stranger_is_refused_with_the_name_of_its_issuer(hierarchy, now):
    from fleetmint.x509.authority import self_signed

    stranger = self_signed("test", "test root", keys.new_key("P-384"), now)
    verdict = verify(
        mint(stranger, "operators", "alice@test", now), (), listeners.open_listener(hierarchy, "operator"), now
    )
    assert "names 'test root'" in verdict.reasons[0]


def test_a_name_that_is_none_of_the_listeners_is_refused_behind_it(hierarchy, now, device_crl):
    leaf = mint(hierarchy.authority("device-gateway"), "devices", "Alice", now)
    verdict = verify(leaf, (), listeners.open_listener(hierarchy, "device", [device_crl]), now)
    assert "'Alice' is no device id" in verdict.reasons[0]


def test_a_certificate_signed_with_sha1_is_refused_by_that_name(hierarchy, openssl, tmp_path, now):
    authority = hierarchy.authority("operator")
    (tmp_path / "ca.crt").write_bytes(pem(authority.certificate))
    (tmp_path / "ca.key").write_bytes(keys.plain_pem(authority.key))
    (tmp_path / "key").write_bytes(keys.plain_pem(keys.new_key()))
    request = openssl("req", "-new", "-key", tmp_path / "key", "-subj", "/O=test/OU=operators/CN=alice@test").stdout
    signed_by_the_ca = ["-CA", tmp_path / "ca.crt", "-CAkey", tmp_path / "ca.key", "-set_serial", "77"]
    for digest, reasons in (("-sha256", ()), ("-sha1", ("alice@test is signed with SHA-1, which is not taken",))):
        made = openssl("x509", "-req", digest, "-days", "30", *signed_by_the_ca, data=request).stdout
        leaf = x509.load_pem_x509_certificate(made)
        moment = max(now, compat.not_before(leaf))
        assert verify(leaf, (), listeners.open_listener(hierarchy, "operator", ()), moment).reasons == reasons
