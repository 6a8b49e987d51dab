# SPDX-License-Identifier: Apache-2.0
"""The unit's clock: chronyd as it is configured on the appliance (board/rootfs/chrony), between servers with NTS and one without. -x: no clock is set."""

import subprocess
import uuid
from pathlib import Path

import pytest
from lab.system import run, wait_until

CONFIGURATION = Path(__file__).resolve().parents[2] / "board" / "rootfs" / "chrony" / "sekisho.conf"
SERVERS = [f"127.0.1.{number}" for number in range(1, 5)]  # the last one proves nothing


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A namespace with three servers that have NTS and one, of a better stratum, without."""
    folder = tmp_path_factory.mktemp("ntp")
    folder.chmod(0o750)
    space = f"clock-{uuid.uuid4().hex[:6]}"
    run(["ip", "netns", "add", space])
    run(["ip", "-n", space, "link", "set", "lo", "up"])
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", folder / "key.pem", "-out",
         folder / "cert.pem", "-subj", "/CN=time", "-addext", "subjectAltName=" + ",".join(f"IP:{address}" for address in SERVERS)])
    processes = []

    def start(name, text):
        (folder / f"{name}.conf").write_text(text + f"pidfile {folder}/{name}.pid\nbindcmdaddress {folder}/{name}.sock\n")
        with open(folder / f"{name}.log", "wb") as output:
            processes.append(subprocess.Popen(["ip", "netns", "exec", space, "chronyd", "-d", "-x", "-U", "-u", "root", "-f", folder / f"{name}.conf"],
                                              stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT))

    try:
        for number, address in enumerate(SERVERS, 1):
            nts = f"ntsserverkey {folder}/key.pem\nntsservercert {folder}/cert.pem\nntsprocesses 1\n" if number < 4 else ""
            start(f"server{number}", f"local stratum {3 if nts else 1}\nbindaddress {address}\nallow all\ncmdport 0\n{nts}")
        listening = ["ip", "netns", "exec", space, "ss", "-4Htln", "sport = :4460"]
        wait_until(lambda: len(run(listening).stdout.splitlines()) == 3, 30, "three servers of NTS", every=0.1)

        def client(name, sources):
            """chronyd of the appliance with these sources; what asks it."""
            (folder / name).mkdir()
            (folder / name / "own.sources").write_text("".join(f"server {source}\n" for source in sources))
            text = CONFIGURATION.read_text().replace("/etc/chrony/sources.d", f"{folder}/{name}").replace("/var/lib/chrony", str(folder / name))
            (folder / "keys").touch()
            start(name, text.replace("/etc/chrony/chrony.keys", f"{folder}/keys") + f"ntstrustedcerts {folder}/cert.pem\n")
            return lambda *words: run(["chronyc", "-n", "-c", "-h", folder / f"{name}.sock", *words], check=False).stdout.splitlines()

        yield client
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        run(["ip", "netns", "delete", space])


def rows(ask, what):
    return [line.split(",") for line in ask(what)]


def test_three_sources_that_prove_who_they_are_keep_the_clock_and_one_that_does_not_is_not_believed(world):
    ask = world("whole", [*(f"{address} iburst nts" for address in SERVERS[:3]), f"{SERVERS[3]} iburst"])
    chosen = wait_until(lambda: [row for row in rows(ask, "sources") if row[1] == "*"], 60, "a source that is followed", every=0.2)
    assert chosen[0][2] in SERVERS[:3], "not the one of the better stratum that proves nothing"
    wait_until(lambda: {row[2]: row[1] for row in rows(ask, "sources")}.get(SERVERS[3]) == "?", 60, "the one without proof set aside", every=0.2)
    modes = {row[0]: row[1] for row in rows(ask, "authdata")}
    assert [modes[address] for address in SERVERS] == ["NTS", "NTS", "NTS", "-"]


def test_two_sources_are_too_few(world):
    ask = world("few", [f"{address} iburst nts" for address in SERVERS[:2]])
    # Field 5: which of the last eight questions were answered, octal.
    wait_until(lambda: len([row for row in rows(ask, "sources") if int(row[5], 8) >= 0o17]) == 2, 60, "both answering", every=0.2)
    assert not [row for row in rows(ask, "sources") if row[1] == "*"], "nobody could tell which of them is wrong"
