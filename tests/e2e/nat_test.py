# SPDX-License-Identifier: Apache-2.0
"""Real programs through address translation: out by blocks of ports, in by one public port, the same for two tenants."""

from pathlib import Path

import pytest
from lab.system import wait_until

NAT = """    nat:
      - {{ name: office out, kind: napt, source: [office-net], destination_zones: [internet], translated: [{pool}], block_ports: 1008 }}
      - {{ name: public database, kind: dnat, destination: [public-db], service: [alt], translated: [10.0.0.18], translated_port: 80 }}
    addresses:
      - {{ name: public-db, entries: [{public}] }}
"""
RULES = """    policies:
      - { name: browse, from: [office], to: [internet], rules: [ { name: office browses, action: allow, log: both } ] }
      - { name: database, from: [internet], to: [servers], rules: [ { name: public http, action: allow, service: [http], log: both } ] }
"""
TENANTS = {"acme": ("203.0.113.20", "203.0.113.21"), "globex": ("203.0.113.36", "203.0.113.37")}


def _tenant(text, pool, public):
    text = text.replace("    addresses:\n", NAT.format(pool=pool, public=public), 1)
    text = text.replace("    services:\n", "    services:\n      - { name: alt, protocol: tcp, destination_ports: [8080] }\n", 1)
    return text.replace("    policies:\n", RULES, 1)


@pytest.fixture(scope="module")
def translating(lab, tmp_path_factory):
    head, acme, globex = Path(lab.config).read_text().split("  - service_code: ")
    path = tmp_path_factory.mktemp("nat") / "nat.yaml"
    path.write_text("  - service_code: ".join([head, _tenant(acme, *TENANTS["acme"]), _tenant(globex, *TENANTS["globex"])]))
    assert lab.appliance.commit(path).returncode == 0
    lab.nat_document = path
    yield lab
    assert lab.appliance.commit(lab.config).returncode == 0


@pytest.mark.parametrize("tenant", TENANTS)
def test_an_office_reaches_the_internet_from_its_pool(translating, tenant):
    pool, _ = TENANTS[tenant]
    wire = translating["outside"].capture()

    assert translating[f"{tenant}-pc"].curl("http://192.0.2.2/") == (0, "outside")

    sources = {(seen.source, seen.source_port) for seen in wire.packets() if seen.destination_port == 80}
    wire.stop()
    assert {source for source, _ in sources} == {pool}
    assert all(1024 + 2 * 1008 <= port < 1024 + 3 * 1008 for _, port in sources)  # the block of the third address


@pytest.mark.parametrize("tenant", TENANTS)
def test_outside_reaches_one_public_port_and_not_its_neighbour(translating, tenant):
    _, public = TENANTS[tenant]

    assert translating["outside"].curl(f"http://{public}:8080/") == (0, f"{tenant} db1")
    assert translating["outside"].curl(f"http://{public}:8081/", 1)[0] == 28


def test_sessions_show_what_they_are_translated_to(translating):
    translating["acme-pc"].curl("http://192.0.2.2/")

    wait_until(lambda: "203.0.113.20:" in translating.appliance.ctl("show", "sessions", "--tenant", "acme").stdout, 5, "the session")


def test_show_nat_counts_each_tenants_rules_and_names_whose_ports_are_in_use(translating, tmp_path):
    translating["acme-pc"].curl("http://192.0.2.2/")
    translating["outside"].curl("http://203.0.113.21:8080/")
    rows = {row["name"]: row for row in translating.appliance.show("nat", "--tenant", "acme")}

    assert list(rows) == ["office out", "public database"]
    out, public = rows["office out"], rows["public database"]
    assert out["connections"] >= 1 and public["connections"] >= 1
    assert 1 <= out["ports"] <= out["connections"] and 1 <= out["blocks"] <= out["blocks_all"]
    assert public["ports"] is None and public["kind"] == "dnat"

    blocks = translating.appliance.show("nat", "--blocks", "--tenant", "acme")
    assert [(row["outside"], row["ports_from"], row["ports_to"]) for row in blocks] == [("203.0.113.20", 1024 + 2 * 1008, 1024 + 3 * 1008 - 1)]
    assert blocks[0]["name"] == "office out" and blocks[0]["ports"] == out["ports"]

    renewed = tmp_path / "again.yaml"
    renewed.write_text(translating.nat_document.read_text().replace("name: office out,", "name: office out, memo: again,"))
    assert translating.appliance.commit(renewed).returncode == 0
    again = {row["name"]: row for row in translating.appliance.show("nat", "--tenant", "acme")}["office out"]
    assert again["id"] == out["id"] and again["connections"] >= out["connections"]
