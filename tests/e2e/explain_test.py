# SPDX-License-Identifier: Apache-2.0
"""What explain says of a packet is what the hosts then see, under the running policy and under a candidate."""

import json
import struct

from variants import without_rule

PC, WEB = "10.0.0.34", "10.0.0.2"


def _explain(lab, *arguments, check=True):
    done = lab.appliance.ctl("--json", "explain", "--tenant", "acme", *arguments, check=check)
    return json.loads(done.stdout)


def _web(lab):
    return lab["acme-pc"].curl(f"http://{WEB}/", 1)[0] == 0


def test_the_steps_of_a_described_packet_read_well(lab):
    text = lab.appliance.ctl("explain", "--tenant", "acme", "--port", "pc", "--from", PC, "--to", WEB, "--dport", "80", "--sport", "40000").stdout

    lines = [line.split() for line in text.splitlines()]
    assert [line[0] for line in lines] == ["STAGE", "decode", "bind", "binding", "session", "rule", "route", "state", "forward", "allow"]
    assert "tcp 10.0.0.34:40000 > 10.0.0.2:80 syn, 40 bytes" in text
    assert "rule inside/web for the office" in text
    assert f"allow by rule inside/web for the office, under revision {lab.appliance.generation()}" in text


def test_a_packet_is_refused_as_explained(lab):
    said = _explain(lab, "--port", "pc", "--from", PC, "--to", WEB, "--dport", "22")
    forged = _explain(lab, "--port", "pc", "--from", "10.0.0.35", "--to", WEB, "--dport", "80")

    assert (said["verdict"], said["reason"], said["rule"]) == ("reject", "rule-reject", "inside/no logins from the office")
    assert (forged["verdict"], forged["reason"]) == ("drop", "ae-ip4")


def test_a_candidate_is_explained_and_the_running_policy_stays(lab, tmp_path):
    assert _web(lab)
    shut = without_rule(lab.config, "web for the office", tmp_path)
    before = lab.appliance.generation()
    packet = ("--port", "pc", "--from", PC, "--to", WEB, "--dport", "80")

    now, then = _explain(lab, *packet), _explain(lab, *packet, "--candidate", str(shut))

    assert (now["verdict"], now["candidate"]) == ("allow", False)
    assert (then["verdict"], then["reason"], then["candidate"]) == ("drop", "default-deny", True)
    assert lab.appliance.generation() == before
    assert _web(lab)


def test_a_wrong_candidate_is_refused_with_its_findings(lab, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("tenants: none\n")

    said = _explain(lab, "--port", "pc", "--from", PC, "--to", WEB, "--candidate", str(wrong), check=False)

    assert not said["ok"] and said["findings"]


def test_a_capture_replayed_through_a_candidate_lists_what_would_break(lab, tmp_path):
    pc = lab["acme-pc"]
    with pc.capture() as wire:
        assert _web(lab)
        assert pc.ping(WEB)
        frames = wire.frames(outgoing=True)
    capture = tmp_path / "office.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            file.write(struct.pack("<IIII", 1_700_000_000, number, len(frame), len(frame)) + frame)
    shut = without_rule(lab.config, "web for the office", tmp_path)
    replay = ("--port", "pc", "--replay", str(capture), "--candidate")

    broken = lab.appliance.ctl("--json", "explain", "--tenant", "acme", *replay, str(shut), check=False)
    same = lab.appliance.ctl("--json", "explain", "--tenant", "acme", *replay, str(lab.config), check=False)

    report = json.loads(broken.stdout)
    assert broken.returncode == 4, report
    assert report["flipped"] == 1 and ":80 syn" in report["flips"][0]["flow"]
    assert report["flips"][0]["running"]["rule"] == "inside/web for the office"
    assert report["flips"][0]["candidate"]["reason"] == "default-deny"
    assert same.returncode == 0 and json.loads(same.stdout)["flipped"] == 0
