# SPDX-License-Identifier: Apache-2.0
"""A help desk at work over the API: it sees who is in, ends a session, lets in who was shut out; and who may not is refused. What the client saw
decides, then the vpn log and the log of acts must agree."""

import pytest
from lab.api import Api, Refused, invite
from lab.lab import Lab
from lab.system import wait_until

from ike_world import Pki, nt_hash
from sstp_client import SstpError
from sstp_test import GATEWAYS, SERVICE_CODES, WEB, Site, curl

ACME, GLOBEX = SERVICE_CODES["acme"], SERVICE_CODES["globex"]
PASSWORD = "correct horse battery 7"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("tunneld",)) as lab:
        made = Site(lab, pki, folder)
        made.commit()
        portal = lab.root / "out" / "portal"
        portal.mkdir()
        (portal / "index.html").write_text("<!doctype html><title>portal</title>")
        lab.appliance.start_management(portal)
        yield made
        assert lab.appliance.status()["conservation violations"] == "0"


_people = {}


def person(site, name, role):
    """A browser in which `name` is signed in; made once."""
    if name not in _people:
        lab = site.lab
        api = Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
        api.welcome(invite(lab.appliance, name, role), PASSWORD)
        _people[name] = api
    return _people[name]


def seen(api, tenant=ACME):
    """Remote sessions as the page shows them: one dictionary of cells each."""
    return [row["cells"] for row in api.get(f"/tenants/{tenant}/vpn/sessions")["rows"]]


def test_a_session_is_seen_and_ended_and_the_records_say_by_whom(site):
    desk, reader, theirs = person(site, f"desk@{ACME}", "user"), person(site, f"reader@{ACME}", "read"), person(site, f"desk@{GLOBEX}", "user")
    with site.client("alice", tun="sstp1") as alice, site.client("bob", tun="sstp2") as bob:
        up = site.expect("up", user="alice")
        row, = [one for one in seen(desk) if one["user"] == "alice"]
        assert (row["vpn_sid"], row["ip4"]) == (up["vpn_sid"], alice.address)
        assert seen(reader) == seen(desk) and seen(theirs, GLOBEX) == []
        with pytest.raises(Refused, match="denied"):
            reader.post(f"/tenants/{ACME}/vpn/disconnect", {"user": "alice"})
        with pytest.raises(Refused, match="no session"):  # of another tenant
            theirs.post(f"/tenants/{GLOBEX}/vpn/disconnect", {"user": up["vpn_sid"]})
        assert curl(site, WEB)[0] == 0 and not alice.done.is_set()

        assert desk.post(f"/tenants/{ACME}/vpn/disconnect", {"user": "alice"})["count"] == 1
        wait_until(alice.done.is_set, 20, "the client hearing of its end")
        assert site.expect("down", seconds=20, user="alice", vpn_sid=up["vpn_sid"])["cause"] == "admin"
        assert [one["user"] for one in seen(desk)] == ["bob"] and not bob.done.is_set()
        sid = seen(desk)[0]["vpn_sid"]
        assert desk.post(f"/tenants/{ACME}/vpn/disconnect", {"user": sid})["count"] == 1, "by its number"
        wait_until(bob.done.is_set, 20, "the other client hearing of its end")
    acts = person(site, f"owner@{ACME}", "owner").get(f"/tenants/{ACME}/audit")["entries"]
    told = {(one["actor"], one["result"]) for one in acts if one["operation"] == "Disconnect"}
    assert {(f"desk@{ACME}", "ok"), (f"reader@{ACME}", "denied")} <= told


def test_who_was_shut_out_is_let_in_again(site):
    desk, reader = person(site, f"desk@{ACME}", "user"), person(site, f"reader@{ACME}", "read")
    for _ in range(5):
        with pytest.raises(SstpError):
            site.client("carol", password="guess").connect().login()
    with pytest.raises(SstpError):
        site.client("carol").connect().login()
    wait_until(lambda: any("shut out" in one.get("msg", "") for one in site.lab.appliance.records(ACME)), 20, "the lockout in the log", every=0.2)
    with pytest.raises(Refused, match="denied"):
        reader.post(f"/tenants/{ACME}/vpn/unlock", {"user": "carol"})
    with pytest.raises(SstpError):
        site.client("carol").connect().login()
    assert desk.post(f"/tenants/{ACME}/vpn/unlock", {"user": "carol"})["count"] == 1
    site.client("carol").connect().login().close()
    site.expect("up", seconds=20, user="carol")


def test_a_login_is_tried_without_anybody_coming_in(site):
    desk, reader, theirs = person(site, f"desk@{ACME}", "user"), person(site, f"reader@{ACME}", "read"), person(site, f"desk@{GLOBEX}", "user")

    def tried(api, password, user="bob", tenant=ACME, **more):
        said = api.post(f"/tenants/{tenant}/vpn/try", {"gateway": "vpn", "user": user, "password": password, **more})
        return said["admitted"], [(one["stage"], one["result"], one["object"]) for one in said["steps"]]
    right = [("gateway", "ok", "vpn"), ("backend", "local", ""), ("password", "right", ""), ("groups", "ok", "staff, admins"), ("pool", "ok", "people (staff)"),
             ("admission", "ok", "staff"), ("rules", "reach", "")]
    assert tried(desk, "bob-acme") == (True, right)
    assert tried(desk, "bob-acme", source="198.51.100.9") == (True, right)
    assert seen(desk) == [] and all(one["user"] != "bob" for one in seen(reader))
    assert tried(desk, "bob-globex") == (False, right[:2] + [("password", "wrong", "bob")]), "the other tenant's"
    assert tried(theirs, "bob-globex", tenant=GLOBEX)[0]
    assert tried(desk, "bob-acme", user="nobody")[1][-1] == ("password", "unknown_user", "nobody")
    site.suspended = ["bob"]
    site.commit()
    assert tried(desk, "bob-acme")[1][-1] == ("admission", "admin", "staff")
    site.suspended = []
    site.commit()
    with pytest.raises(Refused, match="denied"):
        tried(reader, "bob-acme")
    for wrong in ({"gateway": ""}, {"user": ""}, {"user": "b" * 257}, {"password": "p" * 257}, {"source": "nowhere"}):
        with pytest.raises(Refused, match="invalid"):
            desk.post(f"/tenants/{ACME}/vpn/try", {"gateway": "vpn", "user": "bob", "password": "bob-acme", **wrong})
    acts = person(site, f"owner@{ACME}", "owner").get(f"/tenants/{ACME}/audit")["entries"]
    told = [one for one in acts if one["operation"] == "TryLogin"]
    assert {(one["actor"], one["object"], one["result"]) for one in told} >= {(f"desk@{ACME}", "bob", "ok"), (f"reader@{ACME}", "", "denied")}
    records = " ".join(map(str, site.lab.appliance.records(ACME)))
    assert "bob-acme" not in records and "bob-globex" not in records
    for _ in range(5):
        tried(desk, "guess", user="alice")
    assert tried(desk, "alice-acme", user="alice")[1][-1] == ("lockout", "shut_out", "")
    with pytest.raises(SstpError):  # what is tried counts at the door, too
        site.client("alice").connect().login()
    assert desk.post(f"/tenants/{ACME}/vpn/unlock", {"user": "alice"})["count"] == 1
    assert tried(desk, "alice-acme", user="alice")[0]


def follow(site):
    wait_until(lambda: f"follows revision {site.lab.appliance.generation()}\n" in site.lab.appliance.output("tunneld"), 10, "tunneld following")


def test_a_remote_user_helps_himself_and_sees_nobody_else(site):
    alice, bob, ghost = (person(site, f"{name}@{ACME}", "self") for name in ("alice", "bob", "ghost"))
    own = f"/tenants/{ACME}/self"
    with site.client("alice", tun="sstp1") as inside, site.client("bob", tun="sstp2"):
        up = site.expect("up", user="alice")
        said = alice.get(own)
        assert (said["user"], said["known"], said["password"], said["groups"]) == ("alice", True, True, ["staff"])
        assert [one["name"] for one in said["gateways"]] == ["vpn"] and said["devices"] == []
        assert [(one["cells"]["user"], one["cells"]["vpn_sid"]) for one in said["sessions"]] == [("alice", up["vpn_sid"])]
        assert [one["cells"]["user"] for one in bob.get(own)["sessions"]] == ["bob"]
        with pytest.raises(Refused, match="not_found"):
            bob.post(f"{own}/disconnect", {"vpn_sid": up["vpn_sid"]})
        with pytest.raises(Refused, match="not_found"):
            alice.post(f"{own}/disconnect", {"vpn_sid": ""})
        assert curl(site, WEB)[0] == 0 and not inside.done.is_set()
        assert alice.post(f"{own}/disconnect", {"vpn_sid": up["vpn_sid"]})["count"] == 1
        wait_until(inside.done.is_set, 20, "the client hearing of its end")
    site.expect("down", user="alice", vpn_sid=up["vpn_sid"])
    told = alice.get(f"{own}/connections")["records"]
    assert {one["user"] for one in told} == {"alice"} and {"up", "down"} <= {one["event"] for one in told}

    alice.post(f"{own}/password", {"nt_hash": nt_hash("a password of her own")})
    follow(site)
    with pytest.raises(SstpError):
        site.client("alice").connect().login()
    site.client("alice", password="a password of her own").connect().login().close()
    site.client("bob").connect().login().close()
    with pytest.raises(Refused, match="invalid"):
        alice.post(f"{own}/password", {"nt_hash": "not a hash"})

    alice.post(f"{own}/devices", {"name": "alice-pc", "label": "her desk", "os": "Windows 11", "serial": "0A1B"})
    device, = alice.get(own)["devices"]
    assert (device["name"], device["label"], device["state"]) == ("alice-pc", "her desk", "requested")
    assert bob.get(own)["devices"] == []
    for wrong in ({"name": "alice-pc", "serial": "0c"}, {"name": "two", "serial": "0A1B"}, {"name": "two"}, {"name": "two", "serial": "1", "identifier": "x"},
                  {"name": "two", "serial": "no number"}):
        with pytest.raises(Refused, match="invalid"):
            bob.post(f"{own}/devices", wrong)
    for closed in ("vpn/users", "vpn/sessions", "config", "rules", "logs/exports", "audit", "accounts", "dashboard"):
        with pytest.raises(Refused, match="denied"):
            alice.get(f"/tenants/{ACME}/{closed}")
    with pytest.raises(Refused, match="not_found"):
        alice.get(f"/tenants/{GLOBEX}/self")
    assert (ghost.get(own)["user"], ghost.get(own)["known"]) == ("ghost", False)
    with pytest.raises(Refused, match="conflict"):
        ghost.post(f"{own}/password", {"nt_hash": nt_hash("of nobody at all")})
    revision = site.lab.appliance.generation()
    with pytest.raises(Refused, match="too_many"):  # three were refused above, and count
        for number in range(4):
            bob.post(f"{own}/password", {"nt_hash": nt_hash(f"bob's number {number}")})
    follow(site)
    assert int(site.lab.appliance.generation()) == int(revision) + 3
    alice.post(f"{own}/password", {"nt_hash": nt_hash("another of her own")})
    site.commit()
