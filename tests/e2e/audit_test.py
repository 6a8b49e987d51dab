# SPDX-License-Identifier: Apache-2.0
"""What people did is in the log vault: searched as other records, kept while logd is away, and nobody acts where it cannot be written."""

import pytest
from lab.api import Api, Refused, invite
from lab.lab import Lab
from lab.system import wait_until

ACME, GLOBEX, PROVIDER = "acm00000001", "glx00000001", "prv00000000"
PASSWORD = "correct horse battery 7"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    portal = tmp_path_factory.mktemp("portal")
    portal.chmod(0o755)
    (portal / "index.html").write_text("<!doctype html><title>portal</title>")
    for folder in portal.parents:  # pytest makes its folders for root alone
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    with Lab() as built:
        built.appliance.start_management(portal)
        yield built
        print(f"--- controld\n{built.appliance.output('controld')[-3000:]}\n--- logd\n{built.appliance.output('logd')[-2000:]}")


def sign_in(lab, name, role):
    api = Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
    api.welcome(invite(lab.appliance, name, role), PASSWORD)
    return api


@pytest.fixture(scope="module")
def owner(lab):
    return sign_in(lab, f"owner@{ACME}", "owner")


def consent(owner, ticket):
    return owner.post(f"/tenants/{ACME}/consents", {"minutes": 5, "ticket": ticket, "reason": "a look"})


def searched(owner, ticket):
    """Records of the vault about a consent, as everybody who may read logs finds them."""
    conditions = [{"field": "obj_name", "test": "equal", "values": [ticket]}]
    return owner.post(f"/tenants/{ACME}/logs/search", {"types": ["audit"], "conditions": conditions})["records"]


def test_an_act_is_read_at_once_by_who_did_it_and_searched_as_other_records(lab, owner):
    consent(owner, "T-1")
    first = owner.get(f"/tenants/{ACME}/audit?limit=5")["entries"][0]
    assert (first["operation"], first["object"], first["result"], first["actor"]) == ("GrantConsent", "T-1", "ok", f"owner@{ACME}")
    record = searched(owner, "T-1")[0]
    assert record["op"] == "approve" and record["type"] == "audit" and record["svc"] == ACME and record["channel"] == "api"
    older = owner.get(f"/tenants/{ACME}/audit?limit=5&before={first['number']}")["entries"]
    assert older and all(int(one["number"]) < int(first["number"]) for one in older)
    other = sign_in(lab, f"owner@{GLOBEX}", "owner").get(f"/tenants/{GLOBEX}/audit")["entries"]
    assert other and all("T-1" not in str(one) for one in other)


def test_the_providers_acts_stand_in_its_own_log_and_the_tenants(lab, owner):
    support = sign_in(lab, "helen", "p-support")
    consent(owner, "T-2")
    granted = {one["id"] for one in owner.get(f"/tenants/{ACME}/consents")["consents"] if one["active"]}  # any of them lets support in
    assert support.get(f"/tenants/{ACME}/rules")["rows"]
    entries = owner.get(f"/tenants/{ACME}/audit")["entries"]
    assert any(one["actor"] == "helen" and one["operation"] == "ListRules" and one["detail"].removeprefix("by consent ") in granted for one in entries)
    auditor = sign_in(lab, "ada", "p-audit")
    seen = auditor.get("/platform/audit")["entries"]
    assert any(one["actor"] == "helen" and one["tenant"] == ACME and one["operation"] == "ListRules" for one in seen)
    lab.appliance.commit(lab.config)  # by the machine's own administrator
    assert any(one["operation"] == "commit" and one["object"].startswith("revision") for one in auditor.get("/platform/audit")["entries"])


def test_what_is_refused_says_so(lab, owner):
    reader = sign_in(lab, f"reader@{ACME}", "read")
    with pytest.raises(Refused, match="denied"):
        consent(reader, "T-3")
    with pytest.raises(Refused, match="invalid"):
        owner.post(f"/tenants/{ACME}/consents", {"minutes": 100_000, "ticket": "T-4", "reason": "too long"})
    results = [(one["actor"], one["result"]) for one in owner.get(f"/tenants/{ACME}/audit")["entries"] if one["operation"] == "GrantConsent"]
    assert (f"reader@{ACME}", "denied") in results and (f"owner@{ACME}", "fail") in results


def test_acts_wait_for_a_log_that_is_away_and_survive_controld(lab, owner):
    lab.appliance.kill("logd")
    consent(owner, "T-5")
    with pytest.raises(Refused, match="unavailable"):
        owner.get(f"/tenants/{ACME}/audit")
    lab.appliance.kill("controld")
    lab.appliance.start_daemon("controld")
    lab.appliance.start_daemon("logd")
    wait_until(lab.appliance.answers, 30, "controld")
    again = Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
    again.last_step = owner.last_step
    again.login(f"owner@{ACME}", PASSWORD, owner.secret)
    assert len(wait_until(lambda: searched(again, "T-5"), 30, "the record", every=0.2)) == 1
    owner.cookie, owner.csrf, owner.last_step = again.cookie, again.csrf, again.last_step


def test_nobody_acts_where_it_cannot_be_written(lab, owner):
    lab.appliance.kill("controld")
    queue = lab.root / "config" / "audit.bin"
    queue.unlink()
    queue.mkdir()
    try:
        lab.appliance.start_daemon("controld")
        wait_until(lab.appliance.answers, 30, "controld")
        with pytest.raises(Refused, match="operation log"):
            owner.login(f"owner@{ACME}", PASSWORD)
        refused = lab.appliance.ctl("config", "rollback", "1", check=False)
        assert refused.returncode == 1 and "nothing was done" in refused.stderr
        assert lab.appliance.ctl("show", "rules", "--tenant", ACME).returncode == 0  # looking goes on
        assert lab["acme-pc"].curl("http://10.0.0.2/", 1)[0] == 0
    finally:
        lab.appliance.kill("controld")
        queue.rmdir()
        lab.appliance.start_daemon("controld")
    wait_until(lab.appliance.answers, 30, "controld")
    owner.login(f"owner@{ACME}", PASSWORD)
    consent(owner, "T-6")
    assert searched(owner, "T-6")
