# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any daemon at any moment: forwarding goes on as the last good snapshot said, or stops; it never opens.

A ping the policy allows runs all the time, and knocks at a shut door do too; not one knock may arrive in any test.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest
from lab.system import wait_until
from traffic import Traffic
from variants import without_rule


@pytest.fixture
def traffic(lab):
    with Traffic(lab) as running:
        yield running
        assert running.knocks_heard() == []


def test_restart_of_control_does_not_touch_forwarding(lab, traffic):
    lab.appliance.kill("controld")
    traffic.wait_for_answers(100)
    lab.appliance.start_daemon("controld")

    wait_until(lab.appliance.answers, 15, "controld answering again")
    assert lab.appliance.commit(lab.config).returncode == 0
    traffic.wait_for_answers()


def test_restart_of_the_log_does_not_touch_forwarding(lab, traffic):
    lab.appliance.kill("logd")
    traffic.wait_for_answers(100)
    lab.appliance.start_daemon("logd")

    traffic.wait_for_answers()
    assert lab["acme-pc"].curl("http://10.0.0.2/") == (0, "acme web1")


def test_restart_of_the_data_plane_stops_traffic_then_the_stored_snapshot_rules_alone(lab, traffic):
    lab.appliance.kill("controld")  # so that nobody but the snapshot on disk can tell it what to do
    lab.appliance.kill("dataplaned")
    assert lab["acme-pc"].curl("http://10.0.0.2/", 1)[0] == 28
    lab.appliance.start_daemon("dataplaned")

    traffic.wait_for_answers()
    assert lab["acme-pc"].curl("http://10.0.0.2/") == (0, "acme web1")
    assert lab["acme-pc"].curl("http://10.0.0.2:22/")[0] == 7
    lab.appliance.start_daemon("controld")
    wait_until(lab.appliance.answers, 15, "controld answering again")
    assert lab.appliance.commit(lab.config).returncode == 0


@pytest.mark.parametrize("victim", ["dataplaned", "controld"])
@pytest.mark.parametrize("after_ms", [0, 3, 10, 30, 80])
def test_restart_in_the_middle_of_a_commit_converges_to_the_old_or_the_new(lab, traffic, victim, after_ms, tmp_path):
    lab.appliance.commit(lab.config)
    changed = without_rule(lab.config, "web for the office", tmp_path)
    commit = subprocess.Popen(lab.appliance.ctl_argv("config", "commit", changed), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_ms / 1000)  # the moment of the crash, not a wait
    lab.appliance.kill(victim)
    commit.wait(60)
    lab.appliance.start_daemon(victim)

    status = wait_until(lambda: _agreed(lab), 20, "controld and dataplaned agreeing on a revision")
    text = lab.appliance.ctl("config", "show").stdout
    web_allowed = "web for the office" in text
    assert (lab["acme-pc"].curl("http://10.0.0.2/", 1)[0] == 0) == web_allowed, status
    traffic.wait_for_answers()
    lab.appliance.commit(lab.config)
    assert lab["acme-pc"].curl("http://10.0.0.2/") == (0, "acme web1")


def _agreed(lab):
    """The status once the revision in force is the one controld calls running."""
    if not lab.appliance.answers():
        return None
    status = lab.appliance.status()
    return status if status["generation in force"] == status["running revision"] != "none" else None


def test_a_killed_data_plane_leaves_no_file_of_dpdks(lab):
    runtime = lab.root / "dp"  # XDG_RUNTIME_DIR; for root it is /run
    lab.appliance.kill("dataplaned")
    left = [path for path in runtime.rglob("*") if path.name != "dpdk"]
    lab.appliance.start_daemon("dataplaned")
    assert left == []


def test_a_killed_data_plane_of_root_leaves_nothing_in_run_dpdk(lab, tmp_path):
    name = f"sekisho-left-{os.getpid()}"
    process = subprocess.Popen([str(lab.appliance.binaries / "dataplaned"), "--run-dir", str(tmp_path), "--state-dir", str(tmp_path), "--",
                                "--no-huge", "-m", "256", "--no-pci", f"--file-prefix={name}"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: (tmp_path / "dataplane.sock").is_socket(), 30, "dataplaned listening")
    finally:
        process.kill()
        process.wait()
    assert not (Path("/run/dpdk") / name).exists()
