"""Files that could shut a play out, on a bare Pi: they stay only when a second connection gets in."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.e2e.site import wait_for
from virtual import demo
from virtual.pi import container
from virtual.purpose import ROOT, VARIABLE, Purpose

PURPOSE = Purpose("trial", ROOT / "inventory/virtual/state/trial")
FILE = "/etc/ssh/sshd_config.d/10-trial.conf"
RELOAD = ["mkdir -p /run/sshd", "/usr/sbin/sshd -t", "/usr/bin/systemctl try-reload-or-restart ssh.service"]
SHUT = "DenyUsers pi\n"


def pi() -> container.Container:
    return container.of(PURPOSE.name)


@pytest.fixture(scope="module", autouse=True)
def bare_pi():
    shutil.rmtree(PURPOSE.state, ignore_errors=True)
    subprocess.run([*demo.pi("up", PURPOSE)], cwd=ROOT, check=True)
    yield
    subprocess.run([*demo.pi("down", PURPOSE)], cwd=ROOT, check=True)
    shutil.rmtree(PURPOSE.state, ignore_errors=True)


@pytest.fixture
def play(tmp_path):
    """Start a play of one task that guards `content` at FILE; none of it: the file is to be removed."""

    def start(content: str | None, seconds: int = 60, apply: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        files = [] if content is None else [{"path": FILE, "content": content}]
        options = {"name": "ssh", "files": files, "remove": [] if files else [FILE], "apply": [*RELOAD, *apply]}
        task = {"name": "Guard", "fleetmint.core.guarded_files": {**options, "seconds": seconds, "remedy": "Go there"}}
        book = tmp_path / "guard.yml"
        book.write_text(json.dumps([{"hosts": "gateways", "gather_facts": False, "become": True, "tasks": [task]}]))
        command = ["ansible-playbook", "--inventory", str(ROOT / "inventory/virtual"), str(book)]
        environment = {**os.environ, VARIABLE: PURPOSE.name, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, start_new_session=True
        )

    return start


def finished(started: subprocess.Popen[str]) -> tuple[int, str]:
    said = started.communicate(timeout=180)[0]
    return started.returncode, " ".join(said.split())


def there() -> str:
    return pi().execute("sh", "-c", f"cat {FILE} 2>/dev/null || echo none").strip()


def left_over() -> str:
    """Return what a trial has left behind."""
    look = (
        "ls /var/lib/fleetmint-trial; ls /etc/systemd/system | grep trial; ls /etc/systemd/system/*.wants | grep trial"
    )
    return pi().execute("sh", "-c", f"{look}; systemctl list-units --all --plain --no-legend 'fleetmint-trial*'; true")


def gets_in(play) -> bool:
    code, said = finished(play("LoginGraceTime 61\n"))
    assert code == 0, said
    return True


def test_what_lets_a_second_connection_in_stays_and_leaves_nothing_behind(play):
    assert "changed=1" in finished(play("LoginGraceTime 61\n"))[1]
    assert there() == "LoginGraceTime 61"
    assert left_over().strip() == ""
    assert "changed=0" in finished(play("LoginGraceTime 61\n"))[1]
    assert "changed=1" in finished(play(None))[1]
    assert there() == "none"


def test_what_lets_none_in_is_taken_back_and_says_what_to_do(play):
    assert gets_in(play)
    code, said = finished(play(SHUT))
    assert code != 0
    assert "no second SSH connection gets to 127.0.0.1, so its old state is back. ssh says:" in said
    assert "Permission denied" in said
    assert "Go there" in said
    assert there() == "LoginGraceTime 61"
    assert left_over().strip() == ""
    assert gets_in(play)


def test_a_file_that_is_refused_is_taken_back(play):
    assert gets_in(play)
    code, said = finished(play("NoSuchSetting yes\n"))
    assert code != 0
    assert "the new files do not work, so the old ones stay: /usr/sbin/sshd -t: " in said
    assert "NoSuchSetting" in said
    assert there() == "LoginGraceTime 61"
    assert left_over().strip() == ""


def cut_in_the_middle(play, seconds: int) -> None:
    """End a play whose new file is in force and not yet confirmed."""
    # once only, since the way back puts the old files in force in the same way
    once = f"/run/trial-{time.monotonic_ns()}"
    started = play(SHUT, seconds, apply=(f"[ -e {once} ] || {{ touch {once}; sleep 300; }}",))
    wait_for(lambda: there() == SHUT.strip(), 60)
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def test_a_play_that_is_cut_is_taken_back_by_the_machine_itself(play):
    assert gets_in(play)
    cut_in_the_middle(play, seconds=10)
    wait_for(lambda: there() == "LoginGraceTime 61", 60)
    wait_for(lambda: left_over().strip() == "", 30)
    assert gets_in(play)


def test_a_machine_that_starts_in_the_middle_has_the_old_state(play):
    assert gets_in(play)
    cut_in_the_middle(play, seconds=3600)
    subprocess.run(["podman", "restart", "--time=5", pi().name], check=True, capture_output=True)
    pi().wait_until_booted()
    assert there() == "LoginGraceTime 61"
    assert left_over().strip() == ""
    wait_for(lambda: gets_in(play), 60)


def test_the_next_play_takes_back_what_one_before_it_has_left(play):
    assert gets_in(play)
    cut_in_the_middle(play, seconds=3600)
    # the play that was cut has left a connection that is shared, by which the next one gets in
    assert "changed=1" in finished(play("LoginGraceTime 61\n"))[1]
    assert there() == "LoginGraceTime 61"
    assert left_over().strip() == ""
