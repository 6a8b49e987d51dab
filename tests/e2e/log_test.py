# SPDX-License-Identifier: Apache-2.0
"""One denied packet is one line, at once where the rule says so; numbers have no holes, or a loss record that says why."""

import hashlib
import json
import queue
import subprocess
import threading
from pathlib import Path

import pytest
from lab.system import wait_until

ACME = "acm00000001"


class Follow:
    """`sekishoctl log follow`: records as they come."""

    def __init__(self, lab, *arguments):
        self.process = subprocess.Popen(lab.appliance.ctl_argv("--json", "log", "follow", "--tenant", ACME, *arguments), text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def next(self, wanted, timeout=20):
        """The next record for which `wanted` holds."""
        while True:
            try:
                record = json.loads(self.lines.get(timeout=timeout))
            except queue.Empty:
                pytest.fail(f"no such record within {timeout} s")
            if wanted(record):
                return record

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def _refused_login(port):
    return lambda record: record["type"] == "comm" and record.get("dst_port") == 22 and record.get("src_port") == port


def _knock(lab, port):
    lab["acme-pc"].curl("http://10.0.0.2:22/", 2, "--local-port", str(port))


def _follow_in_force(lab, follow, first_port):
    """Following begins some time after the tool starts: knock until the first line is heard; returns the next free port."""
    ports = iter(range(first_port, first_port + 100))
    heard = threading.Event()

    def knock_until_heard():
        while not heard.is_set():
            _knock(lab, next(ports))

    thread = threading.Thread(target=knock_until_heard, daemon=True)
    thread.start()
    follow.next(lambda record: record["type"] == "comm")
    heard.set()
    thread.join()
    return next(ports)


def test_one_denied_packet_is_one_line(lab):
    with Follow(lab) as follow:
        port = _follow_in_force(lab, follow, 45000)
        _knock(lab, port)
        record = follow.next(_refused_login(port))
    stored = [line for line in lab.appliance.records(ACME) if _refused_login(port)(line)]

    assert len(stored) == 1
    assert stored[0] == record
    assert (record["phase"], record["action"], record["reason"]) == ("drop", "reject", "rule")
    assert (record["rule_name"], record["policy"]) == ("no logins from the office", "inside")
    assert (record["src_ip"], record["dst_ip"], record["in_if"], record["in_zone"]) == ("10.0.0.34", "10.0.0.2", "pc", "office")
    assert (record["count"], record["svc"], record["ip_ver"], record["proto"]) == (1, ACME, 4, 6)


def test_knocks_of_ten_seconds_on_one_door_fold_into_few_lines_that_count_them_all(lab):
    pc = lab["acme-pc"]
    with lab["acme-pc"].capture() as wire:
        for _ in range(5):
            pc.curl("http://10.0.0.18:5432/", 1)
        sent = len([seen for seen in wire.packets(outgoing=True) if seen.destination_port == 5432])

    def counted():
        lines = [line for line in lab.appliance.records(ACME) if line["type"] == "comm" and line.get("dst_port") == 5432]
        return lines if sum(line["count"] for line in lines) == sent else None

    lines = wait_until(counted, 25, f"{sent} denied packets in the log", every=0.5)
    assert len(lines) < sent


def _holes(records):
    """(type, number) missing from the sequence of each type, where no loss record covers the gap."""
    missing = []
    covered = {(record["of"], number) for record in records if record["type"] == "loss"
               for number in range(record["seq_from"], record["seq_to"] + 1)}
    for kind in {record["type"] for record in records}:
        numbers = [record["seq"] for record in records if record["type"] == kind]
        assert numbers == sorted(set(numbers)), f"{kind}: numbers rise and never repeat"
        missing += [(kind, gone) for gone in set(range(numbers[0], numbers[-1] + 1)) - set(numbers) if (kind, gone) not in covered]
    return missing


def test_sequence_numbers_have_no_holes(lab):
    for port in range(45200, 45210):
        _knock(lab, port)
    wait_until(lambda: any(_refused_login(45209)(line) for line in lab.appliance.records(ACME)), 15, "the last line")

    assert _holes(lab.appliance.records(ACME)) == []


def test_a_killed_log_goes_on_where_it_was_without_a_hole(lab):
    _knock(lab, 45300)
    wait_until(lambda: any(_refused_login(45300)(line) for line in lab.appliance.records(ACME)), 15, "the line before")
    lab.appliance.kill("logd")
    for port in (45301, 45302):
        _knock(lab, port)  # written to the ring while nobody reads it
    lab.appliance.start_daemon("logd")
    _knock(lab, 45303)

    def after():
        done = lab.appliance.ctl("log", "export", "--tenant", ACME, "--json", check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
        return lines if any(_refused_login(45303)(line) for line in lines) else None

    records = wait_until(after, 20, "the line after")
    ports = [line.get("src_port") for line in records if line["type"] == "comm"]
    lost = [line for line in records if line["type"] == "loss"]
    assert {45300, 45303} <= set(ports)
    assert {45301, 45302} <= set(ports) or lost, "what came while the log was away is there, or said to be lost"
    assert _holes(records) == []


def test_a_tenant_sees_no_line_of_the_other(lab):
    lab["globex-pc"].curl("http://10.0.0.2:22/", 2, "--local-port", "45400")
    wait_until(lambda: any(line.get("src_port") == 45400 for line in lab.appliance.records("glx00000001")), 15, "globex's line")

    assert not any(line.get("src_port") == 45400 for line in lab.appliance.records(ACME))
    assert {line["svc"] for line in lab.appliance.records(ACME)} == {ACME}


def test_export_as_csv_has_one_header_and_as_many_lines_as_json(lab):
    import csv
    import io
    text = lab.appliance.ctl("log", "export", "--tenant", ACME, "--type", "comm", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))

    assert rows and {"ts", "svc", "seq", "src_ip", "rule_name"} <= set(rows[0])
    assert "host" not in rows[0] and "core" not in rows[0]


def test_the_history_is_searched_downloaded_and_proven(lab, tmp_path):
    _knock(lab, 45500)
    wait_until(lambda: any(_refused_login(45500)(line) for line in lab.appliance.records(ACME)), 15, "the line")

    def search(*conditions):
        text = lab.appliance.ctl("--json", "log", "search", "--tenant", ACME, "--type", "comm", *conditions).stdout
        return [json.loads(line) for line in text.splitlines()]

    assert [line["src_port"] for line in search("src_port=45500", "address=10.0.0.0/24", "rule_name^=no logins")] == [45500]
    assert search("src_port=45500", "rule_name=web for the office") == []
    target = tmp_path / "comm.csv"
    lab.appliance.ctl("log", "download", "--tenant", ACME, "--type", "comm", "--window", "month", "-o", str(target))
    manifest = json.loads((tmp_path / "comm.csv.manifest").read_text())
    assert manifest["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert manifest["records"] == len(target.read_text().splitlines()) - 1 > 0
    assert "nothing is wrong" in lab.appliance.ctl("log", "verify", str(lab.appliance.root / "log")).stdout
    secrets = b"no logins from the office"
    assert not any(secrets in path.read_bytes() for path in (lab.appliance.root / "log" / ACME).rglob("*") if path.is_file())


def test_a_commit_is_an_audit_record_of_the_tenant_it_changes(lab, tmp_path):
    text = Path(lab.config).read_text()
    changed = tmp_path / "changed.yaml"
    at = text.index(ACME)
    changed.write_text(text[:at] + text[at:].replace("no logins from the office", "no logins from an office", 1))
    lab.appliance.commit(changed, "-m", "another name")
    try:
        def audits(code):
            return [line for line in lab.appliance.records(code) if line["type"] == "audit" and line.get("comment") == "another name"]

        (record,) = wait_until(lambda: audits(ACME), 15, "the audit record")
        assert (record["op"], record["result"], record["channel"], record["actor_kind"]) == ("commit", "ok", "agent", "provider")
        assert record["rev_to"] == record["rev_from"] + 1
        assert audits("glx00000001") == []
    finally:
        lab.appliance.commit(lab.config)
