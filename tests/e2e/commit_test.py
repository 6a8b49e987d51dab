# SPDX-License-Identifier: Apache-2.0
"""One commit changes one verdict; a wrong one changes nothing; an unconfirmed one takes itself back."""

import json
import subprocess

from lab.system import wait_until
from traffic import Traffic
from variants import with_change, without_rule


def _web(lab):
    return lab["acme-pc"].curl("http://10.0.0.2/", 1)[0] == 0


def test_a_commit_changes_one_verdict_and_a_rollback_changes_it_back(lab, tmp_path):
    assert _web(lab)
    before = lab.appliance.generation()

    assert lab.appliance.commit(without_rule(lab.config, "web for the office", tmp_path)).returncode == 0
    assert not _web(lab)
    assert lab["acme-pc"].ping("10.0.0.2")

    lab.appliance.ctl("config", "rollback", before)
    assert _web(lab)
    assert lab.appliance.generation() == before + 2


def test_a_wrong_document_is_refused_whole_with_every_finding_and_its_place(lab, tmp_path):
    before = lab.appliance.generation()
    wrong = with_change(lab.config, "source: [office-net], destination: [server-net], service: [http]",
                        "source: [no-such-net], destination: [server-net], service: [no-such-service]", tmp_path)

    done = lab.appliance.ctl("--json", "config", "commit", wrong, check=False)

    assert done.returncode != 0
    findings = json.loads(done.stdout)["findings"]
    assert len(findings) >= 4  # two mistakes, two tenants
    assert all(finding["line"] and finding["column"] and finding["path"] and finding["sentence"] for finding in findings)
    assert lab.appliance.generation() == before
    assert _web(lab)


def test_an_unconfirmed_commit_takes_itself_back(lab, tmp_path):
    lab.appliance.commit(without_rule(lab.config, "web for the office", tmp_path), "--confirm", "3")
    assert not _web(lab)

    wait_until(lambda: _web(lab), 15, "the old configuration coming back")
    assert lab["acme-pc"].ping("10.0.0.2")


def test_an_unconfirmed_commit_takes_itself_back_although_control_was_killed_meanwhile(lab, tmp_path):
    lab.appliance.commit(without_rule(lab.config, "web for the office", tmp_path), "--confirm", "3")
    lab.appliance.kill("controld")
    assert not _web(lab)
    lab.appliance.start_daemon("controld")

    wait_until(lambda: _web(lab), 15, "the old configuration coming back")


def test_a_confirmed_commit_stays(lab, tmp_path):
    lab.appliance.commit(without_rule(lab.config, "web for the office", tmp_path), "--confirm", "3")
    lab.appliance.ctl("config", "confirm")
    waited = lab["acme-pc"].run("curl", "--silent", "--max-time", "4", "http://10.0.0.2/")  # four seconds of no answer

    assert waited.returncode == 28
    assert not _web(lab)
    lab.appliance.commit(lab.config)
    assert _web(lab)


def test_commits_under_load_lose_no_packet_and_open_no_door(lab, tmp_path):
    """Every packet is judged by the old or the new policy: a ping both allow never misses, a shut door stays shut."""
    changed = without_rule(lab.config, "web for the office", tmp_path)
    pc = lab["acme-pc"]
    with Traffic(lab) as traffic:
        for _ in range(3):
            lab.appliance.commit(changed)
            lab.appliance.commit(lab.config)
        heard = traffic.knocks_heard()
    counted = pc.run("ping", "-n", "-q", "-c", "50", "-i", "0.01", "10.0.0.2")

    assert heard == []
    assert " 0% packet loss" in counted.stdout


def test_an_open_connection_the_new_policy_denies_ends(lab, tmp_path):
    """A session outlives a commit only when the new policy allows it too."""
    lab.appliance.commit(lab.config)
    talk = subprocess.Popen(lab["acme-pc"].argv("nc", "10.0.0.2", "80"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    wait_until(lambda: any(row["state"] == "established" for row in lab.appliance.show("sessions", "--tenant", "acme")), 5, "the session")
    lab.appliance.commit(without_rule(lab.config, "web for the office", tmp_path))
    with lab["acme-web1"].capture() as wire:
        talk.stdin.write("GET / HTTP/1.0\r\n\r\n")
        talk.stdin.flush()
        assert not lab["acme-pc"].knock("10.0.0.2", 80)  # a second of time, and a denied flow of its own
        arrived = [seen for seen in wire.packets() if seen.destination_port == 80]
    talk.kill()
    talk.wait()
    lab.appliance.commit(lab.config)

    assert arrived == []
