# SPDX-License-Identifier: Apache-2.0
"""The portal at the gateway itself: people in Chromium (tests/portal/days.mjs), mgmtd, controld, dataplaned, hosts that talk."""

import json
import os
import re
import subprocess

import pytest
from lab.lab import Lab
from lab.portal import LivingHosts, links, open_portal
from lab.topology import TREE

DAYS = TREE / "tests" / "portal" / "days.mjs"
PEOPLE = {"tenant": {"owner@acm00000001": "owner"},
          "operator": {"opal": "p-ops", "helen": "p-support", "sera": "p-sec", "second@acm00000001": "owner"}}


def sentences(name):
    """What the day's script says will happen."""
    text = DAYS.read_text()
    own = text[text.index(f"async function {name}s_day"):].split("\n}\n")[0]
    return re.findall(r'does\("([^"]+)"', own) + re.findall(r'^await does\(\s*"([^"]+)"', text, flags=re.M)


@pytest.fixture(scope="module")
def lab():
    with Lab() as built:
        built.url = open_portal(built)
        with LivingHosts(built):
            yield built
        assert built.appliance.status()["conservation violations"] == "0"
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")


_days = {}


def day(lab, name):
    """What happened on a day: {sentence: why it failed, or nothing}. Each day is lived once."""
    if name not in _days:
        about = {"url": lab.url, "links": links(lab, lab.url, PEOPLE[name]), "hosts": {host: lab[host].namespace for host in ("acme-pc", "globex-pc")}}
        done = subprocess.run(["ip", "netns", "exec", lab.topology.office, "node", str(DAYS), name], timeout=600,
                              env={**os.environ, "SEKISHO_DAY": json.dumps(about)}, capture_output=True, text=True)
        print(done.stdout, done.stderr[-2000:])
        _days[name] = {one["what"]: one["error"] for one in map(json.loads, done.stdout.splitlines())}
    return _days[name]


@pytest.mark.parametrize("sentence", sentences("tenant"))
def test_a_tenant_administrators_day(lab, sentence):
    assert day(lab, "tenant").get(sentence, "it did not come to that") == ""


@pytest.mark.parametrize("sentence", sentences("operator"))
def test_an_operators_day(lab, sentence):
    assert day(lab, "operator").get(sentence, "it did not come to that") == ""
