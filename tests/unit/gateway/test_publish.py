"""Publishing CRLs: real lists, real files, and programs that write down how they were called."""

import os
import socket
from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint import timekeeping
from fleetmint.errors import PublishError
from fleetmint.gateway import disconnect, publish, session_owners
from fleetmint.gateway.crl_files import installed_lists
from fleetmint.gateway.denied import rules_path
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger import open_ledger
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import certificates
from fleetmint.ledger.succession import confirm, supersede_due
from fleetmint.x509 import names
from fleetmint.x509.authority import Authority, load_certificate, pem
from fleetmint.x509.revocation import Revoked, build_crl, crl_pem
from tests.support import handmade, scratch
from tests.support.broker_listener import RULES, Broker, broker, calls, rules
from tests.support.gateway_site import certificate_entry, new_key, registration

__all__ = ["broker", "calls", "rules"]


def sign(site, now, **options):
    engine = open_ledger(site.config.ledger)
    plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now, **options).apply()
    engine.dispose()


@pytest.fixture
def published(site, now, calls, rules):
    """A gateway on which everything is published, and the broker configured."""
    sign(site, now)
    done = publish.publish(site.config, now=now)
    assert done.problems == ()
    calls()
    return done


@pytest.fixture
def lamps(site, now):
    """Two devices with certificates of the factory; returns their serials."""
    factory = site.hierarchy.authority("factory")
    leaves = {
        name: factory.issue("factory-device", new_key().public_key(), name, now=now)
        for name in ("lamp-000001", "lamp-000002")
    }
    site.import_(registration([certificate_entry(name, leaf) for name, leaf in leaves.items()]), now)
    return {name: leaf.serial_number for name, leaf in leaves.items()}


def renew_list(site, name, now):
    crl = build_crl(site.hierarchy.authority(name), [], number=9, now=now, lifetime=timedelta(days=365))
    (site.config.crls / f"{name}.pem").write_bytes(crl_pem(crl))


def revoke_at_the_factory(site, now, *serials, number=2):
    crl = build_crl(
        site.hierarchy.authority("factory"),
        [Revoked(serial, now) for serial in serials],
        number=number,
        now=now,
        lifetime=timedelta(days=365),
    )
    (site.config.crls / "factory.pem").write_bytes(crl_pem(crl))


def bundle(site, server, listener):
    return publish.bundle_path(site.config, server, listener).read_bytes()


def test_the_first_run_writes_both_bundles_for_both_servers_and_reloads_them(site, now, calls):
    sign(site, now)
    done = publish.publish(site.config, now=now)
    assert (done.changed, done.reloaded, done.disconnected, done.problems) == (True, ("nginx", "mosquitto"), (), ())
    assert calls() == ["nginx-program -t", "systemctl reload nginx", "systemctl reload mosquitto"]
    for server in ("nginx", "mosquitto"):
        assert bundle(site, server, "devices").count(b"BEGIN X509 CRL") == 3
        assert bundle(site, server, "operators").count(b"BEGIN X509 CRL") == 2
    assert publish.bundle_path(site.config, "nginx", "devices").stat().st_mode & 0o777 == 0o644


def test_a_bundle_is_what_openssl_needs_to_check_the_whole_chain(site, now, published, lamps, openssl, tmp_path):
    leaf = tmp_path / "leaf.pem"
    certificate = site.hierarchy.authority("factory").issue(
        "factory-device", new_key().public_key(), "lamp-000009", now=now
    )
    leaf.write_bytes(certificate.public_bytes(publish.serialization.Encoding.PEM))
    trust = tmp_path / "trust.pem"
    trust.write_bytes(b"".join(site.config.trusted(name).read_bytes() for name in ("root", "factory")))
    for listener, expected in (("devices", 0), ("operators", 2)):
        path = publish.bundle_path(site.config, "nginx", listener)
        verdict = openssl("verify", "-crl_check_all", "-CAfile", trust, "-CRLfile", path, leaf)
        assert verdict.returncode == expected, verdict.stderr


def test_a_second_run_changes_nothing_and_reloads_nothing(site, now, published, calls):
    done = publish.publish(site.config, now=now)
    assert done == publish.Published()
    assert calls() == []


def test_only_the_servers_whose_files_changed_are_reloaded(site, now, published, calls):
    publish.bundle_path(site.config, "mosquitto", "devices").unlink()
    done = publish.publish(site.config, now=now)
    assert done.reloaded == ("mosquitto",)
    assert calls() == ["systemctl reload mosquitto"]


def test_check_says_what_would_be_done_and_does_nothing(site, now, calls):
    sign(site, now)
    done = publish.publish(site.config, now=now, check=True)
    assert (done.changed, done.reloaded) == (True, ("nginx", "mosquitto"))
    assert calls() == []
    assert list(site.config.nginx.iterdir()) == []
    assert not site.config.published.exists()


def test_the_public_directory_gets_every_list_as_der(site, now, published, openssl):
    names = sorted(path.name for path in site.config.public.iterdir())
    assert names == ["device.crl", "factory.crl", "operator.crl", "root.crl"]
    assert openssl("crl", "-inform", "DER", "-in", site.config.public / "device.crl", "-noout").returncode == 0


@pytest.mark.parametrize(
    ("name", "broken", "reason"),
    [
        ("factory", lambda site, now: b"garbage", "is no CRL"),
        ("factory", lambda site, now: (site.config.crls / "operator.pem").read_bytes(), "not signed by the factory CA"),
        ("device", lambda site, now: crl(site, now - timedelta(days=30), 5), "ended"),
        ("device", lambda site, now: crl(site, now + timedelta(days=2), 5), "later than now"),
        ("device", lambda site, now: crl(site, now, 1), "holds number 2"),
        ("device", lambda site, now: handmade.crl(site.device_ca, now, handmade.key_id(site.device_ca)), "CRL number"),
        ("device", lambda site, now: long_number(site.device_ca, now), "CRL number of at most 20 octets"),
        ("device", lambda site, now: handmade.crl(site.device_ca, now, x509.CRLNumber(9)), "not name the key"),
    ],
    ids=[
        "garbage",
        "another CA's",
        "expired",
        "from the future",
        "older",
        "without a number",
        "with a number of 21 octets",
        "without the key's name",
    ],
)
def test_a_list_that_is_no_good_leaves_its_listener_as_it_was(site, now, published, calls, name, broken, reason):
    sign(site, now, force=True)
    publish.publish(site.config, now=now)
    calls()
    before = {listener: bundle(site, "nginx", listener) for listener in ("devices", "operators")}
    site.config.crl(name).write_bytes(broken(site, now))
    done = publish.publish(site.config, now=now)
    assert reason in " ".join(done.problems)
    assert (done.changed, done.reloaded, calls()) == (False, (), [])
    assert {listener: bundle(site, "nginx", listener) for listener in before} == before


@pytest.mark.parametrize(
    ("keeper", "says"),
    [
        ("ntp", "it was signed by a clock that ran ahead; `sudo systemctl start fleetmint-crl` signs it anew"),
        ("", "nothing keeps the clock of this machine, so that it may be behind: wait for NTP, or set it"),
    ],
)
def test_a_list_from_the_future_is_told_apart_from_a_clock_that_is_behind(site, now, monkeypatch, keeper, says):
    monkeypatch.setattr(timekeeping, "kept", lambda: keeper)
    sign(site, now, force=True)
    site.config.device_crl.write_bytes(crl(site, now + timedelta(days=2), 5))
    problem = next(each for each in publish.publish(site.config, now=now).problems if "later than now" in each)
    assert says in problem
    assert ("set it" in problem) == (keeper == "")


def long_number(authority, now) -> bytes:
    return handmade.crl(authority, now, handmade.key_id(authority), x509.CRLNumber(1 << 160))


@pytest.mark.parametrize("numbers", [[], [x509.CRLNumber(1 << 160)]], ids=["none", "21 octets"])
def test_an_installed_list_without_a_good_number_gives_way_and_keeps_its_revocations(site, now, published, numbers):
    ca = site.device_ca
    odd = handmade.crl(ca, now, handmade.key_id(ca), *numbers)
    for server in ("nginx", "mosquitto"):
        publish.bundle_path(site.config, server, "devices").write_bytes(odd)
    done = publish.publish(site.config, now=now)
    assert (done.problems, done.reloaded) == ((), ("nginx", "mosquitto"))


def crl(site, now, number) -> bytes:
    return crl_pem(build_crl(site.device_ca, [], number=number, now=now, lifetime=timedelta(days=7)))


def test_a_bundle_holds_the_lists_of_its_own_chain_and_no_other(site, now, published):
    expected = {"devices": ["root", "device", "factory"], "operators": ["root", "operator"]}
    for listener, wanted in expected.items():
        subjects = [load_certificate(site.config.trusted(name)).subject for name in wanted]
        for server in ("nginx", "mosquitto"):
            assert [crl.issuer for crl in installed_lists(bundle(site, server, listener))] == subjects


@pytest.mark.parametrize("number", [2, 3], ids=["same number", "higher number"])
def test_a_list_that_forgets_a_revocation_is_refused_whatever_its_number(site, now, published, lamps, calls, number):
    serial = lamps["lamp-000001"]
    revoke_at_the_factory(site, now, serial, number=2)
    publish.publish(site.config, now=now)
    before = bundle(site, "nginx", "devices")
    factory = site.hierarchy.authority("factory")
    forgetful = build_crl(factory, [Revoked(7, now)], number=number, now=now, lifetime=timedelta(days=365))
    (site.config.crls / "factory.pem").write_bytes(crl_pem(forgetful))
    done = publish.publish(site.config, now=now)
    assert f"does not revoke {serial:x}" in " ".join(done.problems)
    assert bundle(site, "nginx", "devices") == before


def test_a_new_device_ca_of_the_same_name_begins_its_lists_anew(site, now, published, calls):
    sign(site, now, force=True)
    publish.publish(site.config, now=now)
    key = new_key()
    old = site.device_ca.certificate
    name = names.common_name(old.subject)
    new = Authority(site.hierarchy.authority("root").issue("device-ca", key.public_key(), name, now=now), key)
    assert new.certificate.subject == old.subject
    site.config.trusted("device").write_bytes(pem(new.certificate))
    first = build_crl(new, [], number=1, now=now, lifetime=timedelta(days=7))
    site.config.device_crl.write_bytes(crl_pem(first))
    done = publish.publish(site.config, now=now)
    assert done.problems == ()
    assert crl_pem(first) in bundle(site, "nginx", "devices")


def test_one_bad_listener_does_not_keep_the_other_from_its_news(site, now, published, calls):
    (site.config.crls / "operator.pem").write_bytes(b"garbage")
    sign(site, now, force=True)
    done = publish.publish(site.config, now=now)
    assert len(done.problems) == 1
    assert done.reloaded == ("nginx", "mosquitto")


def test_the_session_of_a_revoked_device_is_ended_once_and_only_its(site, now, published, lamps, broker, calls):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    done = publish.publish(site.config, now=now)
    assert (done.disconnected, done.problems) == (("lamp-000001",), ())
    assert publish.publish(site.config, now=now) == publish.Published()
    broker.close()
    assert broker.disconnected == ["lamp-000001"]
    assert broker.left == [b"\xe0\x00"]


@pytest.mark.parametrize("damage", [b"garbage", b"", None], ids=["garbage", "empty", "missing"])
def test_a_session_that_began_while_the_broker_had_no_list_is_ended_too(
    site, now, published, lamps, broker, calls, damage
):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    assert publish.publish(site.config, now=now).disconnected == ("lamp-000001",)
    broker.disconnected.clear()
    path = publish.bundle_path(site.config, "mosquitto", "devices")
    whole = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage)
    done = publish.publish(site.config, now=now)
    assert (done.reloaded, done.disconnected, done.problems) == (("mosquitto",), ("lamp-000001",), ())
    assert path.read_bytes() == whole
    assert not publish.publish(site.config, now=now).changed


def test_a_session_that_could_not_be_ended_is_reported_and_tried_again(site, now, published, lamps, calls):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    done = publish.publish(site.config, now=now)
    assert done.disconnected == ()
    assert "could not be ended" in done.problems[0]
    broker = Broker(site.config.disconnect_socket)
    broker.start()
    assert publish.publish(site.config, now=now).disconnected == ("lamp-000001",)
    broker.close()


def test_a_session_whose_certificate_has_ended_is_ended_after_a_reload_and_nothing_queued_is_lost(
    site, now, published, lamps, broker, calls
):
    soon, late = now + timedelta(days=365) - timedelta(hours=1), now + timedelta(days=365, hours=1)
    for name in ("root", "operator", "factory"):  # only the certificates of the devices end
        renew_list(site, name, soon)
    sign(site, soon)
    assert publish.publish(site.config, now=soon).disconnected == ()
    calls()
    done = publish.publish(site.config, now=late)
    assert (done.reloaded, done.disconnected) == (("mosquitto",), ("lamp-000001", "lamp-000002"))
    assert calls() == ["systemctl reload mosquitto"]
    again = publish.publish(site.config, now=late + timedelta(hours=1))
    assert (again.reloaded, again.disconnected) == ((), ())
    broker.close()
    assert broker.kept == ["lamp-000001", "lamp-000002"]
    assert broker.left == [b"\xe0\x00"] * 2


def test_a_broker_that_is_not_configured_yet_has_no_sessions_to_end(site, now, lamps, calls):
    """As on a Pi that goes on from the backup of another one, or shares its ledger."""
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    revoke_the_operator(site, now, 0xABCDEF)
    sign(site, now)
    done = publish.publish(site.config, now=now)
    assert (done.disconnected, done.restarted, done.problems) == ((), (), ())
    rules_path(site.config).write_text(RULES)
    assert publish.publish(site.config, now=now) == publish.Published()


def test_what_ended_while_the_broker_could_not_be_told_is_tried_again(site, now, published, lamps, calls):
    late = now + timedelta(days=366)
    assert publish.publish(site.config, now=late).disconnected == ()
    broker = Broker(site.config.disconnect_socket)
    broker.start()
    assert publish.publish(site.config, now=late).disconnected == ("lamp-000001", "lamp-000002")
    broker.close()


def test_what_is_queued_for_a_device_that_goes_on_with_another_certificate_stays(
    site, now, published, lamps, broker, calls
):
    with site.writing() as connection:
        confirm(connection, lamps["lamp-000001"], overlap=timedelta(0), now=now)
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    with site.writing() as connection:
        connection.execute(
            certificates.update().where(certificates.c.device == "lamp-000001").values(superseded_at=now)
        )
        supersede_due(connection, now)
    revoke_at_the_factory(site, now, *lamps.values())
    assert publish.publish(site.config, now=now).disconnected == ("lamp-000001", "lamp-000002")
    broker.close()
    assert broker.kept == ["lamp-000001"]


def test_nobody_is_disconnected_before_the_broker_has_the_new_list(site, now, published, lamps, broker, calls):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    failing = site.root / "state" / "systemctl-reload-exit"
    failing.write_text("1")
    done = publish.publish(site.config, now=now)
    assert done.disconnected == ()
    assert "`" in done.problems[0]
    failing.unlink()
    done = publish.publish(site.config, now=now)
    assert (done.reloaded, done.disconnected) == (("nginx", "mosquitto"), ("lamp-000001",))


def revoke_the_operator(site, now, *serials, number=2):
    operators = site.hierarchy.authority("operator")
    crl = build_crl(
        operators, [Revoked(serial, now) for serial in serials], number=number, now=now, lifetime=timedelta(days=365)
    )
    (site.config.crls / "operator.pem").write_bytes(crl_pem(crl))


def test_a_revoked_operator_costs_one_restart_of_the_broker_since_its_sessions_have_names_of_its_own(
    site, now, published, calls
):
    revoke_the_operator(site, now, 0xABCDEF)
    foretold = publish.publish(site.config, now=now, check=True)
    done = publish.publish(site.config, now=now)
    assert (done.restarted, done.disconnected, done.problems) == (("mosquitto",), (), ())
    assert foretold == done
    assert calls()[-1] == "systemctl restart mosquitto"
    assert publish.publish(site.config, now=now) == publish.Published()
    revoke_the_operator(site, now, 0xABCDEF, 0xFEDCBA, number=3)
    assert publish.publish(site.config, now=now).restarted == ("mosquitto",)


def test_a_restart_that_failed_is_reported_and_tried_again(site, now, published, calls):
    revoke_the_operator(site, now, 0xABCDEF)
    failing = site.root / "state" / "systemctl-restart-exit"
    failing.write_text("1")
    done = publish.publish(site.config, now=now)
    assert (done.restarted, len(done.problems)) == ((), 1)
    failing.unlink()
    assert publish.publish(site.config, now=now).restarted == ("mosquitto",)


def test_a_broker_that_is_down_needs_no_restart_for_a_revoked_operator(site, now, published, calls):
    revoke_the_operator(site, now, 0xABCDEF)
    (site.root / "state" / "mosquitto").write_text("inactive")
    assert publish.publish(site.config, now=now).restarted == ()
    (site.root / "state" / "mosquitto").write_text("active")
    assert publish.publish(site.config, now=now) == publish.Published()


def test_a_run_cut_between_file_and_reload_is_finished_by_the_next(site, now, published, calls, monkeypatch):
    sign(site, now, force=True)

    class KilledError(BaseException):
        pass

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_reload", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            publish.publish(site.config, now=now)
    assert calls() == []
    done = publish.publish(site.config, now=now)
    assert done.reloaded == ("nginx", "mosquitto")


def test_a_config_that_nginx_refuses_is_reported_and_stays_owed(site, now, published, calls):
    sign(site, now, force=True)
    failing = site.root / "state" / "nginx-program--t-exit"
    failing.write_text("1")
    done = publish.publish(site.config, now=now)
    assert done.reloaded == ("mosquitto",)
    assert len(done.problems) == 1
    assert "systemctl reload nginx" not in calls()
    failing.unlink()
    assert publish.publish(site.config, now=now).reloaded == ("nginx",)


def test_a_server_that_is_down_is_left_alone(site, now, calls):
    sign(site, now)
    for server in ("nginx", "mosquitto"):
        (site.root / "state" / server).write_text("inactive")
    done = publish.publish(site.config, now=now)
    assert (done.changed, done.reloaded, done.problems, calls()) == (True, (), (), [])
    for server in ("nginx", "mosquitto"):
        (site.root / "state" / server).write_text("active")
    assert publish.publish(site.config, now=now) == publish.Published()


def test_a_lost_memory_costs_one_reload_too_many(site, now, published, calls):
    site.config.published.write_text("{")
    assert publish.publish(site.config, now=now).reloaded == ("nginx", "mosquitto")
    assert publish.publish(site.config, now=now) == publish.Published()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x05", b"\x20\x02", b"", b"HTTP/1.1"])
def test_a_broker_that_does_not_take_the_session_over_is_an_error(tmp_path, answer):
    broker = Broker(tmp_path / "sock", answer)
    broker.start()
    with pytest.raises(PublishError, match="lamp-000001"):
        disconnect.end_session(tmp_path / "sock", "lamp-000001")
    broker.close()


def test_the_longest_device_id_fits_the_packet():
    packet = disconnect.connect_packet("a" * 63)
    assert packet[1] == len(packet) - 2 < 128


def link(path, tmp_path):
    """Another good list of the same CA, by a link: only following it makes a difference."""
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")


def linked_directory(path, tmp_path):
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")


def pipe(path, tmp_path):
    path.unlink()
    os.mkfifo(path)


def device(path, tmp_path):
    path.unlink()
    path.symlink_to("/dev/zero")


def listening(path, tmp_path):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def directory(path, tmp_path):
    path.unlink()
    path.mkdir()


def endless(path, tmp_path):
    with path.open("r+b") as file:
        file.truncate(1 << 40)


STRANGE = {
    link: "is a symbolic link",
    linked_directory: "is a symbolic link, or lies behind one",
    pipe: "is no regular file",
    device: "is a symbolic link",
    listening: "is no regular file",
    directory: "is no regular file",
    endless: "has more than",
}


@pytest.mark.parametrize(("make", "reason"), STRANGE.items(), ids=[make.__name__ for make in STRANGE])
def test_root_follows_and_waits_for_nothing_in_the_directory_of_the_service(
    site, now, published, calls, tmp_path, make, reason
):
    before = bundle(site, "nginx", "devices")
    make(site.config.device_crl, tmp_path)
    done = publish.publish(site.config, now=now)
    assert len(done.problems) == 1, done
    assert reason in done.problems[0]
    assert str(site.config.device_crl) in done.problems[0]
    assert (bundle(site, "nginx", "devices"), done.reloaded, calls()) == (before, (), [])


@pytest.mark.parametrize("make", [link, pipe, device, endless])
def test_a_memory_that_is_no_file_of_ours_is_replaced_and_not_followed(site, now, published, calls, tmp_path, make):
    make(site.config.published, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    before = elsewhere.read_bytes() if elsewhere.exists() else b""
    done = publish.publish(site.config, now=now)
    assert (done.problems, done.reloaded) == ((), ("nginx", "mosquitto"))  # as when it is lost
    assert not site.config.published.is_symlink()
    assert site.config.published.stat().st_size < 1000
    assert (elsewhere.read_bytes() if elsewhere.exists() else b"") == before
    assert publish.publish(site.config, now=now) == publish.Published()


@pytest.mark.parametrize("make", [link, pipe, device])
@pytest.mark.parametrize("name", ["ledger.sqlite", "ledger.sqlite-wal"])
def test_a_ledger_that_is_no_regular_file_is_not_opened(site, now, published, lamps, calls, tmp_path, name, make):
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    (site.root / name).touch()
    make(site.root / name, tmp_path)
    done = publish.publish(site.config, now=now)
    assert len(done.problems) == 1, done
    assert f"the ledger {site.root / name} is no regular file" in done.problems[0]
    assert done.disconnected == ()


# root gives files to another account, and gives itself up to read them; whoever is nobody else stays who it is
ACCOUNT = 65534 if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def of_the_service(site, tmp_path):
    """Give the directory of the service to its account, which can reach it."""
    os.chown(site.root, ACCOUNT, -1)
    for parent in (tmp_path, *tmp_path.parents):
        # whatever the directory of the run is called, and nothing outside of it
        if parent.stat().st_uid == os.geteuid() and scratch.root() in parent.parents:
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    return site.root


def test_root_reads_the_ledger_as_the_account_it_belongs_to(
    site, now, published, lamps, broker, calls, of_the_service, monkeypatch
):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    for path in site.root.glob("ledger.sqlite*"):
        os.chown(path, ACCOUNT, -1)
    real = session_owners._read

    def look(*arguments):
        (site.root / "seen").write_text(f"{os.getuid()} {os.geteuid()}")
        return real(*arguments)

    monkeypatch.setattr(session_owners, "_read", look)
    done = publish.publish(site.config, now=now)
    assert (done.disconnected, done.problems) == (("lamp-000001",), ())
    assert (site.root / "seen").read_text() == f"{ACCOUNT} {ACCOUNT}"
    assert {path.stat().st_uid for path in site.root.glob("ledger.sqlite*")} == {ACCOUNT}


def test_what_the_account_may_not_read_root_does_not_read_for_it(
    site, now, published, lamps, broker, calls, of_the_service
):
    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    (site.root / "ledger.sqlite").chmod(0)  # and it stays root's
    done = publish.publish(site.config, now=now)
    assert done.disconnected == ()
    assert len(done.problems) == 1
    assert f"the ledger {site.root / 'ledger.sqlite'} cannot be used" in done.problems[0]


DENIED = "\nuser lamp-000001\ntopic deny #\n"


def test_what_the_factory_issued_to_a_revoked_device_is_denied_until_the_list_of_that_ca_comes(
    site, now, published, lamps, calls, broker, rules
):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    look = publish.publish(site.config, now=now, check=True)
    assert (look.changed, look.reloaded, look.disconnected) == (True, ("mosquitto",), ("lamp-000001",))
    assert (rules.read_text(), calls()) == (RULES, [])

    done = publish.publish(site.config, now=now)
    assert (done.reloaded, done.disconnected, done.problems) == (("mosquitto",), ("lamp-000001",), ())
    assert calls() == ["systemctl reload mosquitto"]
    said = rules.read_text()
    assert said.startswith(RULES)
    assert said.endswith(DENIED)
    assert "lamp-000002" not in said
    assert rules.stat().st_mode & 0o777 == 0o400
    assert publish.publish(site.config, now=now) == publish.Published()

    # the play writes its rules anew, and this puts back what belongs to them
    rules.chmod(0o600)
    rules.write_text(RULES)
    assert publish.publish(site.config, now=now).reloaded == ("mosquitto",)
    assert rules.read_text() == said

    revoke_at_the_factory(site, now, lamps["lamp-000001"])
    done = publish.publish(site.config, now=now)
    assert (set(done.reloaded), done.problems) == ({"nginx", "mosquitto"}, ())
    assert rules.read_text() == RULES
    assert publish.publish(site.config, now=now) == publish.Published()


def test_a_device_that_goes_on_is_not_denied_for_what_it_had_before(site, now, published, lamps, calls, broker, rules):
    with site.writing() as connection:
        own = certificates.c.device == "lamp-000001"
        gone = {"status": "revoked", "revoked_at": now, "revoke_reason": "superseded"}
        connection.execute(certificates.update().where(own).values(**gone))
    assert publish.publish(site.config, now=now).disconnected == ()
    assert rules.read_text() == RULES


def test_a_ledger_that_cannot_be_read_leaves_the_rules_and_is_said_once(site, now, published, lamps, broker, rules):
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    publish.publish(site.config, now=now)
    (site.root / "ledger.sqlite").rename(site.root / "away")
    done = publish.publish(site.config, now=now)
    assert len(done.problems) == 1
    assert "ledger" in done.problems[0]
    assert rules.read_text().endswith(DENIED)
