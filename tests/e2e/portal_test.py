# SPDX-License-Identifier: Apache-2.0
"""The portal at the gateway itself: people in Chromium (tests/portal/days.mjs), mgmtd, controld, dataplaned, hosts that talk."""

import json
import os
import shutil
import subprocess

import pytest
from lab.api import invite
from lab.appliance import default_binaries
from lab.lab import Lab
from lab.topology import TREE

PEOPLE = {"owner@acm00000001": "owner", "second@acm00000001": "owner", "opal": "p-ops", "helen": "p-support", "sera": "p-sec"}
TALK = "while :; do curl -s -m 2 -o /dev/null http://10.0.0.2/; curl -s -m 1 -o /dev/null http://10.0.0.18:5432/; done"


def portal_files():
    """Beside the programs: build/PRESET/portal."""
    return os.environ.get("SEKISHO_PORTAL") or str(TREE / "build" / os.path.basename(os.path.dirname(str(default_binaries()))) / "portal")


@pytest.fixture(scope="module")
def lab():
    with Lab() as built:
        files = shutil.copytree(portal_files(), built.root / "out" / "portal")  # where mgmtd's user can read
        built.appliance.start_management(files)
        talkers = [subprocess.Popen(built[host].argv("sh", "-c", TALK), start_new_session=True) for host in ("acme-pc", "globex-pc")]
        yield built
        for talker in talkers:
            os.killpg(talker.pid, 9)
            talker.wait()
        assert built.appliance.status()["conservation violations"] == "0"
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")


def day(lab, name):
    """What happened on a day, as (what, why it failed)."""
    address, port = lab.appliance.portal
    links = {who: invite(lab.appliance, who, role) for who, role in PEOPLE.items() if ("@" in who) != (name == "operator") or who.startswith("second")}
    about = {"url": f"https://{address}:{port}", "links": links, "hosts": {host: lab[host].namespace for host in ("acme-pc", "globex-pc")}}
    done = subprocess.run(["ip", "netns", "exec", lab.topology.office, "node", str(TREE / "tests/portal/days.mjs"), name], timeout=500,
                          env={**os.environ, "SEKISHO_DAY": json.dumps(about)}, capture_output=True, text=True)
    happened = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for one in happened:
        print(f"{one['milliseconds']:6} ms  {one['what']}  {one['error'] or 'ok'}")
    assert done.returncode == 0, done.stderr[-2000:]
    return [(one["what"], one["error"]) for one in happened]


@pytest.mark.parametrize(("name", "things"), [("tenant", 16), ("operator", 7)])
def test_a_day_at_the_portal(lab, name, things):
    happened = day(lab, name)
    assert [one for one in happened if one[1]] == []
    assert len(happened) == things
