# SPDX-License-Identifier: Apache-2.0
"""The end of a contract from outside: traffic stops, its owner reads for a while, then nothing of it is left anywhere, and the
other tenant with the same addresses notices nothing. Backups bring nothing back, a factory wipe leaves nothing."""

import copy
import hashlib
import json
import os
import shutil

import pytest
from lab.api import Api, Refused, invite
from lab.lab import Lab
from lab.system import run, wait_until

ACME, GLOBEX = "acm00000001", "glx00000001"
PASSWORD = "correct horse battery 7"
PASSPHRASE = "a passphrase nobody guesses"


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
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-2000:]}\n--- controld\n{built.appliance.output('controld')[-4000:]}"
              f"\n--- logd\n{built.appliance.output('logd')[-2000:]}")


_people = {}


def person(lab, name, role):
    """A browser in which `name` is signed in; made once."""
    if (name, role) not in _people:
        api = Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
        api.welcome(invite(lab.appliance, name, role), PASSWORD)
        _people[name, role] = api
    return _people[name, role]


def fetches(lab, tenant):
    """Whether the tenant's own office reaches its own web server, at the address both tenants use."""
    return lab[f"{tenant}-pc"].curl("http://10.0.0.2/", 1)[0] == 0


def erasures(api, path=f"/tenants/{ACME}/erasures"):
    return api.get(path)["erasures"]


def left_in(lab):
    """Files of the unit's state that hold the tenant's service code in clear."""
    found = set()
    for folder in ("config", "log"):
        for path in (lab.root / folder).rglob("*"):
            try:
                if path.is_file() and ACME.encode() in path.read_bytes():
                    found.add(path.name)
            except FileNotFoundError:  # replaced or removed meanwhile
                continue
    return found


def passphrase(lab, text=PASSPHRASE):
    path = lab.root / "out" / f"passphrase-{len(text)}"
    path.write_text(text + "\n")
    return path


def test_an_end_is_withdrawn_before_its_day_and_nothing_happened(lab):
    ops, owner = person(lab, "opal", "p-ops"), person(lab, f"owner@{ACME}", "owner")
    asked = ops.post(f"/tenants/{ACME}/erasures", {"scope": "contract", "contract": "firewall", "end": "2028-02-29", "reason": "moves away"})
    assert (asked["state"], asked["readable_until"], asked["planned"], asked["limit"]) == ("requested", "2028-03-30", "2028-04-29", "2028-05-29")
    with pytest.raises(Refused, match="ends already"):
        ops.post(f"/tenants/{ACME}/erasures", {"scope": "contract", "contract": "other"})
    with pytest.raises(Refused, match="not ended yet"):
        ops.post(f"/tenants/{ACME}/erasures/{asked['id']}/early")
    assert [one["reason"] for one in erasures(owner)] == ["moves away"]
    with pytest.raises(Refused, match="not_found"):
        ops.call("DELETE", f"/api/v1/tenants/{GLOBEX}/erasures/{asked['id']}")
    owner.call("DELETE", f"/api/v1/tenants/{ACME}/erasures/{asked['id']}")
    assert erasures(owner) == [] and fetches(lab, "acme")
    for bad in ({"scope": "all"}, {"scope": "contract", "contract": "vpn"}, {"scope": "contract", "contract": "firewall", "end": "2026-02-29"},
                {"scope": "contract", "contract": "firewall", "end": "2026-01-01"}):
        with pytest.raises(Refused, match="invalid"):
            ops.post(f"/tenants/{ACME}/erasures", bad)


def test_who_may_not_end_a_contract_is_refused_and_the_log_says_so(lab):
    reader = person(lab, f"reader@{ACME}", "read")
    assert erasures(reader) == []
    with pytest.raises(Refused, match="denied"):
        reader.post(f"/tenants/{ACME}/erasures", {"scope": "contract", "contract": "firewall"})
    acts = person(lab, f"owner@{ACME}", "owner").get(f"/tenants/{ACME}/audit")["entries"]
    assert any(one["operation"] == "EndContract" and one["result"] == "denied" and one["actor"] == f"reader@{ACME}" for one in acts)


def test_a_backup_is_sealed_and_only_its_own_bytes_and_passphrase_open_it(lab):
    ctl = lab.appliance.ctl
    backup, key = lab.root / "out" / "unit.backup", passphrase(lab)
    invite(lab.appliance, f"keeper@{GLOBEX}", "read")
    ctl("backup", "create", backup, "--passphrase-file", key)
    held = backup.read_bytes()
    assert b"acme" not in held and ACME.encode() not in held
    for name, what, where in (("torn", held[:20], "torn"), ("changed", held[:-1] + bytes([held[-1] ^ 1]), "was changed"),
                              ("newer", held[:8] + b"\x02" + held[9:], "format 2"), ("foreign", b"not a backup at all", "no backup")):
        (lab.root / "out" / name).write_bytes(what)
        refused = ctl("backup", "restore", lab.root / "out" / name, "--passphrase-file", key, check=False)
        assert refused.returncode == 1 and where in refused.stderr, refused.stderr
    refused = ctl("backup", "restore", backup, "--passphrase-file", passphrase(lab, PASSPHRASE + "?"), check=False)
    assert refused.returncode == 1 and "another passphrase" in refused.stderr


def test_a_backup_for_recipients_is_opened_where_their_key_is_and_restored_without_it(lab, tmp_path):
    ctl, out = lab.appliance.ctl, lab.root / "out"
    for name in ("keeper", "stranger"):
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", f"/CN={name}",
             "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.crt"])
    backup, opened, again = out / "unit.cms", tmp_path / "opened", out / "resealed"
    said = ctl("backup", "create", backup, "--recipients", tmp_path / "keeper.crt").stdout
    held = backup.read_bytes()
    assert hashlib.sha256(held).hexdigest() in said and ACME.encode() not in held
    run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in", backup, "-inkey", tmp_path / "keeper.key", "-out", opened])  # a stock tool, elsewhere
    assert ACME.encode() in opened.read_bytes()
    refused = ctl("backup", "reseal", backup, "--key", tmp_path / "stranger.key", "--into", again, "--passphrase-file", passphrase(lab), check=False)
    assert refused.returncode == 1 and "for others" in refused.stderr and not again.exists()
    refused = ctl("backup", "restore", backup, "--passphrase-file", passphrase(lab), check=False)
    assert refused.returncode == 1 and "no backup" in refused.stderr
    ctl("backup", "reseal", backup, "--key", tmp_path / "keeper.key", "--into", again, "--passphrase-file", passphrase(lab))
    assert "is in force" in ctl("backup", "restore", again, "--passphrase-file", passphrase(lab)).stdout
    for (who, _), api in _people.items():  # a restoration ends every session
        api.login(who, PASSWORD)


def test_a_restored_backup_brings_settings_and_accounts_back(lab):
    owner = person(lab, f"owner@{ACME}", "owner")
    config = owner.get(f"/tenants/{ACME}/config")
    document = copy.deepcopy(config["document"])
    document["policies"][0]["rules"] = document["policies"][0]["rules"][:-1]
    owner.post(f"/tenants/{ACME}/config/commit", {"document": document, "comment": "one fewer"}, If_Match=config["revision"])
    invite(lab.appliance, f"late@{ACME}", "read")
    said = lab.appliance.ctl("backup", "restore", lab.root / "out" / "unit.backup", "--passphrase-file", passphrase(lab)).stdout
    assert "is in force" in said and "left out" not in said
    with pytest.raises(Refused, match="unauthenticated"):  # every session ends with a restoration
        owner.get("/me")
    owner.login(f"owner@{ACME}", PASSWORD)
    assert owner.get(f"/tenants/{ACME}/config")["document"] == config["document"]
    assert f"late@{ACME}" not in json.dumps(owner.get(f"/tenants/{ACME}/accounts"))
    person(lab, "opal", "p-ops").login("opal", PASSWORD)


def test_an_ended_contract_stops_and_is_read_alone(lab):
    owner = person(lab, f"owner@{ACME}", "owner")
    before = owner.get(f"/tenants/{ACME}/config")
    exported = owner.post(f"/tenants/{ACME}/config/export", {"passphrase": PASSPHRASE})["text"]
    assert fetches(lab, "acme") and fetches(lab, "globex")
    asked = person(lab, "opal", "p-ops").post(f"/tenants/{ACME}/erasures", {"scope": "contract", "contract": "firewall", "reason": "ended"})
    assert asked["state"] == "requested"  # it ends with the next look at the clock
    wait_until(lambda: erasures(owner)[0]["state"] == "ended", 20, "the contract's end")
    wait_until(lambda: not fetches(lab, "acme"), 30, "traffic to stop", every=0.5)
    assert fetches(lab, "globex")
    assert owner.get(f"/tenants/{ACME}/config")["document"] == before["document"]
    assert owner.post(f"/tenants/{ACME}/config/export", {"passphrase": PASSPHRASE})["text"] == exported
    assert owner.post(f"/tenants/{ACME}/logs/search", {"types": ["comm"], "limit": 5})["records"]
    for method, body in (("commit", {"document": before["document"]}), ("import", {"text": exported, "passphrase": PASSPHRASE}), ("rollback", {"revision": before["revision"]})):
        with pytest.raises(Refused, match="has ended"):
            owner.post(f"/tenants/{ACME}/config/{method}", body, If_Match=owner.get(f"/tenants/{ACME}/config")["revision"])
    with pytest.raises(Refused, match="not withdrawn"):
        owner.call("DELETE", f"/api/v1/tenants/{ACME}/erasures/{asked['id']}")
    # A rollback of the whole unit is no way back either; nor is a restart.
    lab.appliance.ctl("config", "rollback", "1")
    lab.appliance.kill("controld")
    lab.appliance.start_daemon("controld")
    wait_until(lab.appliance.answers, 30, "controld")
    assert not fetches(lab, "acme") and wait_until(lambda: fetches(lab, "globex"), 30, "globex")


def test_nothing_is_left_of_what_is_erased_and_its_report_is_verified_offline(lab):
    ctl = lab.appliance.ctl
    old = lab.root / "out" / "old"
    old.mkdir()
    for path in (lab.root / "config").glob("config.db*"):  # as a copy of the state folder would hold it
        shutil.copy2(path, old)
    assert any(ACME.encode() in path.read_bytes() for path in old.iterdir())
    ctl("erasure", "key", "-o", lab.root / "out" / "unit.pub")
    ctl("erasure", "early", "--tenant", ACME)
    wait_until(lambda: any(one["state"] == "erased" for one in json.loads(ctl("--json", "erasure", "list").stdout)["rows"]), 60, "the erasure")
    ops = person(lab, "opal", "p-ops")
    ops.login("opal", PASSWORD)
    done = erasures(ops, "/platform/erasures")[0]
    assert done["state"] == "erased" and not done["late"]
    report = json.loads(done["report"])
    assert report["svc"] == ACME and report["in_time"] and all(line["left"] == 0 for line in report["inventory"])
    assert {line["what"] for line in report["inventory"]} >= {"configuration", "accounts_and_consents", "names", "undelivered_records"}
    assert sum(line["records"] for line in report["log"]["streams"]) > 0
    path = lab.root / "out" / "report.json"
    path.write_text(done["report"])
    assert "as this unit signed it" in ctl("erasure", "verify", path, "--key", lab.root / "out" / "unit.pub", "--log-key",
                                           lab.root / "log" / "keys" / "sign.pub").stdout
    path.write_text(done["report"].replace('"in_time":true', '"in_time":null'))
    assert ctl("erasure", "verify", path, "--key", lab.root / "out" / "unit.pub", check=False).returncode == 1
    # No file of the unit knows the tenant any more, but for the lists of what was erased.
    wait_until(lambda: fetches(lab, "globex") and left_in(lab) <= {"erasures.bin", "erasures"}, 30, "files without a trace", every=0.5)
    assert not (lab.root / "log" / ACME).exists() and (lab.root / "log" / GLOBEX).exists()
    owner = person(lab, f"owner@{ACME}", "owner")
    with pytest.raises(Refused, match="unauthenticated"):
        owner.login(f"owner@{ACME}", PASSWORD)
    numbers = [str(row["revision"]) for row in json.loads(ctl("--json", "config", "revisions").stdout)["rows"]]
    assert numbers and all(ACME not in ctl("config", "show", number).stdout for number in numbers)
    assert fetches(lab, "globex")
    assert person(lab, f"owner@{GLOBEX}", "owner").post(f"/tenants/{GLOBEX}/logs/search", {"types": ["comm"], "limit": 5})["records"]


def test_what_was_erased_does_not_come_back(lab, tmp_path):
    ctl = lab.appliance.ctl
    said = ctl("backup", "restore", lab.root / "out" / "unit.backup", "--passphrase-file", passphrase(lab)).stdout
    assert f"of {ACME} has ended" in said
    assert not fetches(lab, "acme") and wait_until(lambda: fetches(lab, "globex"), 30, "globex")
    accounts = ctl("account", "list").stdout
    assert ACME not in accounts and f"keeper@{GLOBEX}" in accounts and "opal" in accounts
    # The whole store of before, put back behind the daemon's back.
    lab.appliance.kill("controld")
    for path in (lab.root / "config").glob("config.db*"):
        owner = path.stat()
        path.unlink()
    for path in (lab.root / "out" / "old").iterdir():
        shutil.copy2(path, lab.root / "config")
        os.chown(lab.root / "config" / path.name, owner.st_uid, owner.st_gid)
    lab.appliance.start_daemon("controld")
    wait_until(lab.appliance.answers, 30, "controld")
    assert "put back" in lab.appliance.output("controld")
    wait_until(lambda: left_in(lab) <= {"erasures.bin", "erasures"}, 30, "files without a trace", every=0.5)
    # A document that names it is refused: service codes are not given again.
    document = tmp_path / "again.yaml"
    document.write_text(f"tenants:\n  - {{ service_code: {ACME}, name: again }}\n")
    refused = lab.appliance.commit(document, check=False)
    assert refused.returncode == 1 and "has ended" in refused.stderr + refused.stdout


def test_a_factory_wipe_needs_its_word_and_stopped_daemons_and_leaves_nothing(lab):
    ctl, report = lab.appliance.ctl, lab.root / "out" / "wipe.json"
    state = lab.root / "wiped"
    assert ctl("factory-wipe", "--state-dir", lab.root / "config", "-o", report, check=False).returncode == 1
    refused = ctl("factory-wipe", "--state-dir", lab.root / "config", "-o", report, "--yes-destroy-everything", check=False)
    assert refused.returncode == 1 and "still answers" in refused.stderr
    lab.appliance.stop()
    state.mkdir()
    for folder in ("config", "log"):
        shutil.copytree(lab.root / folder, state / folder)
    inside = ctl("factory-wipe", "--state-dir", state, "-o", state / "report.json", "--yes-destroy-everything", check=False)
    assert inside.returncode == 1 and "somewhere else" in inside.stderr
    assert "destroyed" in ctl("factory-wipe", "--state-dir", state, "-o", report, "--yes-destroy-everything").stdout
    assert [path for path in state.rglob("*") if path.is_file()] == []
    assert (lab.root / "config" / "config.db").exists()  # only what was named
    said = json.loads(report.read_text())
    assert said["left"] == 0 and said["keys"]["files"] >= 4 and said["keys"]["failed"] == said["data"]["failed"] == 0
    assert "as this unit signed it" in ctl("erasure", "verify", report, "--key", lab.root / "out" / "unit.pub").stdout
