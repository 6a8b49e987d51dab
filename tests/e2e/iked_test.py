# SPDX-License-Identifier: Apache-2.0
"""iked as it runs: its own user in its sandbox, between logd, a controld that knows one thing and a data plane on UDP sockets
(tests/support/ike_dataplane.cc), with stock strongSwan as client. What logd stored decides: one up, auth_fail or denied for each
attempt, one down for each up."""

import base64
import grp
import ipaddress
import json
import os
import pwd
import re
import signal
import subprocess
from pathlib import Path

import pytest
from lab.system import wait_until

from ike_initiator import IkeError, Initiator, families
from ike_test import connection, document
from ike_world import GATEWAY4, GATEWAY6, PROGRAM, Gateway, World, nt_hash, run
from log_reader import read_log

DATAPLANE = PROGRAM.parent / "ike_dataplane"
BIN = PROGRAM.parent.parent / "bin"
OSAKA = "192.0.2.2"
INSIDE4, INSIDE6 = "10.20.0.5", "fd00:20::5"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def raw(data):
    return base64.b64encode(data).decode()


def packed(text):
    return raw(ipaddress.ip_address(text).packed)


def prefix(text):
    network = ipaddress.ip_network(text)
    return {"address": raw(network.network_address.packed), "length": network.prefixlen}


class Site:
    """The daemons of one run and what is written down."""

    usage_seconds = 2  # between records of what a session carried: soon, for a test to see some

    def __init__(self, world):
        self.world = world
        self.root = world.folder / "site"
        for name in ("", "run", "state"):
            (self.root / name).mkdir()
            os.chown(self.root / name, 0, grp.getgrnam("sekisho").gr_gid)
            (self.root / name).chmod(0o2770)
        (self.root).chmod(0o755)
        self.generation = 0
        self.processes = {}
        config = self.root / "wires"
        ga, gb = world.name("ga"), world.name("gb")
        config.write_text(f"listen 1 7 {ga} {GATEWAY4}\nlisten 1 7 {ga} {GATEWAY6}\nlisten 1 7 {ga} {OSAKA}\nlisten 2 8 {gb} {GATEWAY4}\n")
        self.wires = Gateway(DATAPLANE, self.root / "run", config)
        world.parts.append(self)
        self.start("logd")
        self.start("iked")
        self.plan = self.first_plan()
        self.apply()

    def start(self, name):
        argv = [BIN / name, "--run-dir", self.root / "run", *(["--usage-seconds", self.usage_seconds] if name == "iked" else [])]
        user = {"logd": "sekisho-log", "iked": "sekisho-ike"}[name]
        if name == "logd":
            argv += ["--state-dir", self.root / "state", "--event-uid", pwd.getpwnam("sekisho-ike").pw_uid]
        with open(self.root / f"{name}.txt", "ab") as out:
            self.processes[name] = subprocess.Popen(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--inh-caps=-all",
                                                     "--bounding-set=-all", "--no-new-privs", "--", *map(str, argv)], stdout=out, stderr=out)
        if name == "iked":
            wait_until(lambda: self.output("iked").count("connected to the data plane") > self.output("iked").count("ends"), 15, "iked at the data plane")

    def output(self, name):
        return (self.root / f"{name}.txt").read_text(errors="replace")

    def end(self, name, how=signal.SIGTERM):
        self.processes[name].send_signal(how)
        return self.processes[name].wait(15)

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.wires.stop()

    def first_plan(self):
        pki = self.world.pki

        def read(name):
            return pki.path(name).read_text()

        def tenant(number, name, gateways):
            return {"id": number, "serviceCode": f"mfw0000000{number}", "gateways": gateways,
                    "users": [{"id": 10 * number + 1, "name": "Alice", "ntHash": raw(bytes.fromhex(nt_hash(f"{name}-pw"))), "groups": ["staff"]},
                              {"id": 10 * number + 2, "name": "alice@example.test", "groups": ["staff"]},
                              {"id": 10 * number + 3, "name": "mallory", "ntHash": raw(bytes.fromhex(nt_hash("mallory-pw"))), "groups": ["staff"]},
                              {"id": 10 * number + 4, "name": "lonely", "ntHash": raw(bytes.fromhex(nt_hash("lonely-pw")))}],
                    "groups": [{"name": "staff", "priority": 1, "pool": "pool"}],
                    "pools": [{"name": "pool", "ranges": [{"first": packed("10.99.0.10"), "last": packed("10.99.0.13")},
                                                          {"first": packed("fd00:99::1"), "last": packed("fd00:99::ff")}]}]}

        def gateway(name, ca, addresses, port, identity):
            return {"name": name, "addresses": [packed(one) for one in addresses], "identity": identity, "profile": "modern",
                    "acceptCertificate": True, "acceptEapMschapv2": True, "certificates": [read(f"gw-{ca}.pem")], "keys": [read(f"gw-{ca}.key")],
                    "gatewayCas": [read(f"{ca}.pem")], "clientCas": [read(f"{ca}.pem")],
                    "networks": [prefix("10.20.0.0/16"), prefix("fd00:20::/32")], "dns": [packed("10.20.0.53")], "tunnelPort": port}

        return {"node": "u0",
                "tenants": [tenant(1, "acme", [gateway("tokyo", "acme-ecdsa", [GATEWAY4, GATEWAY6], 41, "gw.acme.test"),
                                               gateway("osaka", "acme-ecdsa", [OSAKA], 43, "gw.acme.test")]),
                            tenant(2, "globex", [gateway("paris", "globex-ecdsa", [GATEWAY4], 42, "gw.globex.test")])]}

    def apply(self):
        """The plan goes into force; returns when iked follows it."""
        self.generation += 1
        self.plan["generation"] = self.generation
        path = self.root / "plan.json"
        path.write_text(json.dumps(self.plan))
        assert self.wires.ask("plan", path) == ["yes"]
        wait_until(lambda: f"follows revision {self.generation}\n" in self.output("iked"), 10, "iked following the plan")

    def user(self, name, tenant=1):
        return next(one for one in self.plan["tenants"][tenant - 1]["users"] if one["name"] == name)

    @property
    def group(self):
        return self.plan["tenants"][0]["groups"][0]

    def device(self, end):
        """The one devauth record of the attempt that has ended in this record."""
        def find():
            out = [one for tenant in (1, 2) for one in read_log(self.root / "run", f"mfw0000000{tenant}")]
            return [one for one in out if one["type"] == "devauth" and one["vpn_sid"] == end["vpn_sid"]]
        (found,) = wait_until(find, 10, f"a devauth record of {end['vpn_sid']}")
        return found

    def records(self, tenant=1):
        out = read_log(self.root / "run", f"mfw0000000{tenant}")
        return sorted((one for one in out if one["type"] == "vpn"), key=lambda one: one["seq"])

    def expect(self, event, seconds=10, tenant=1, **wanted):
        """The next record of an end that nobody asked for yet; it must be of this kind and have these fields."""
        def find():
            for one in self.records(tenant):
                if one["eid"] not in self.taken and one["event"] == event and all(one.get(name) == value for name, value in wanted.items()):
                    self.taken.add(one["eid"])
                    return one
            return None
        return wait_until(find, seconds, f"a record {event} {wanted}; there are {[one for one in self.records(tenant) if one['eid'] not in self.taken]}")

    def untaken(self):
        return [one for tenant in (1, 2) for one in self.records(tenant)
                if one["eid"] not in self.taken and one["event"] in ("up", "auth_fail", "denied", "down")]

    taken = set()


@pytest.fixture(scope="module")
def world():
    if not DATAPLANE.exists() or not (BIN / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        run("ip", "-n", made.name("ga"), "addr", "add", f"{OSAKA}/24", "dev", "ga-ca")
        yield made


@pytest.fixture(scope="module")
def site(world):
    return Site(world)


@pytest.fixture(scope="module")
def client(world):
    return world.client("ca", authorities=["acme-ecdsa"], keys=["alice-acme"], extra="send_vendor_id = yes")


@pytest.fixture(scope="module")
def second(world):
    return world.client("na", authorities=["acme-ecdsa"])


@pytest.fixture(scope="module")
def foreign(world):
    """A client of the other tenant, with the same addresses."""
    return world.client("cb", authorities=["globex-ecdsa"])


@pytest.fixture(autouse=True)
def balance(site):
    """Each attempt has one end and each session one, and the data plane holds nothing when all are over."""
    yield
    wait_until(lambda: site.wires.ask("tunnels") == [], 5, "the last tunnel going")
    wait_until(lambda: site.wires.ask("sas") == [], 5, "the last SA going")
    wait_until(lambda: site.wires.ask("kept") == ["0"], 5, "logd having all records, and the data plane no notes")
    assert site.untaken() == []
    site.plan = site.first_plan()
    site.apply()


PASSWORDS = [("alice", "acme-pw"), ("mallory", "mallory-pw"), ("lonely", "lonely-pw"), ("wrong", "wrong-pw")]


def eap(name, user, **more):
    return connection(name, auth="eap-mschapv2", user=user, **more)


def come_in(site, client, *connections, name="eap", passwords=PASSWORDS, **wanted):
    client.load(document(connections, passwords))
    assert client.connect(name), client.last + client.log() + site.output("iked")
    return site.expect("up", **wanted)


def go(site, client, up, name="eap", **wanted):
    client.disconnect(name)
    return site.expect("down", vpn_sid=up["vpn_sid"], **{"cause": "user", **wanted})


def stay_out(site, client, *connections, name="eap", passwords=PASSWORDS, event="denied", **wanted):
    client.load(document(connections, passwords))
    assert not client.connect(name, seconds=8)
    return site.expect(event, seconds=20, **wanted)


def test_daemon_has_no_privilege_and_a_sandbox(site):
    status = Path(f"/proc/{site.processes['iked'].pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1"
    assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    for thread in Path(f"/proc/{site.processes['iked'].pid}/task").iterdir():
        assert "Seccomp:\t2" in (thread / "status").read_text()


def test_root_is_refused():
    done = subprocess.run([BIN / "iked", "--run-dir", "/nowhere"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1 and "root" in done.stderr


def test_password_brings_in_with_lease_user_port_and_a_full_record(site, client):
    up = come_in(site, client, eap("eap", "ALICE", vips="0.0.0.0, ::"), passwords=[("ALICE", "acme-pw")], user="ALICE")
    assert up["gw_name"] == "tokyo" and up["auth"] == "eap-mschapv2" and up["user_group"] == "staff" and up["pool"] == "pool"
    assert up["proto"] == "ikev2" and up["peer_ip"] == "192.0.2.10" and up["natt"] is True and up["sessions"] == 1 and up["result"] == "ok"
    assert site.wires.ask("tunnels") == [f"1 user 11 port 41 {up['ip4']} {up['ip6']}"]
    assert client.ping(INSIDE4, count=3)
    down = go(site, client, up)
    assert down["pkts_in"] == 3 and down["pkts_out"] == 0 and down["bytes_in"] > 0 and down["sessions"] == 0 and down["start_ts"] == up["ts"]


def events_of(site, up):
    return [one["event"] for one in site.records() if one["vpn_sid"] == up["vpn_sid"]]


def test_a_session_is_told_from_its_first_request_to_its_end(site, client):
    up = come_in(site, client, eap("eap", "alice"))
    client.ping(INSIDE4, count=2)
    usage = site.expect("usage", vpn_sid=up["vpn_sid"], pkts_in=2)
    assert usage["bytes_in"] > 0 and usage["start_ts"] == up["ts"] and usage["dur_s"] >= 1 and "cause" not in usage
    down = go(site, client, up)
    told = {one["event"]: one for one in site.records() if one["vpn_sid"] == up["vpn_sid"]}
    assert [event for event in events_of(site, up) if event != "usage"] == ["start", "auth_ok", "assigned", "up", "down"]
    assert "user" not in told["start"] and told["auth_ok"]["user"] == "alice" and told["assigned"]["ip4"] == up["ip4"]
    for one in told.values():
        assert one["peer_ip"] == "192.0.2.10" and one["gw_name"] == "tokyo" and one["client"] == "strongSwan" and len(one["xid"]) == 32
        if one["event"] != "start":  # how he will prove who he is, is not known there
            assert one["auth"] == "eap-mschapv2" and one["mfa"] == "none" and one["backend"] == "local"
    assert re.fullmatch(r"AES\d+-GCM16/PRFSHA\d+/(ECP|MODP)\d+|AES\d+-GCM16/PRFSHA\d+/X25519", up["ike_suite"]), up["ike_suite"]
    assert re.fullmatch(r"AES\d+-GCM16(/ESN)?", up["esp_suite"]), up["esp_suite"]
    assert down["pkts_in"] == 2 and down["dur_s"] >= 2


def test_an_attempt_that_fails_is_told_in_one_end_and_no_session(site, client):
    failed = stay_out(site, client, eap("eap", "nobody"), passwords=[("nobody", "x")], event="auth_fail")
    assert events_of(site, failed) == ["start", "auth_fail"]
    denied = stay_out(site, client, eap("eap", "lonely"), cause="config")
    assert events_of(site, denied) == ["start", "auth_ok", "denied"]


def test_a_certificate_is_told_by_its_serial_and_subject(site, world, client):
    up = come_in(site, client, connection("cert", certificate="alice-acme"), name="cert")
    serial = run("openssl", "x509", "-in", world.pki.path("alice-acme.pem"), "-noout", "-serial").stdout.strip().split("=")[1]
    assert up["cert_serial"] == serial.lower() and "CN=alice-acme" in up["cert_subject"] and up["realm"] == "example.test"
    for kind in ("--child", "--ike", "--child"):  # what was proven is told to the end, by however many SAs
        client.swanctl("--rekey", kind, "cert")
        site.expect("rekey", vpn_sid=up["vpn_sid"], user=up["user"])
    down = go(site, client, up, "cert", user=up["user"])
    assert (down["cert_serial"], down["cert_subject"]) == (up["cert_serial"], up["cert_subject"])


def test_operators_see_who_is_in_and_end_sessions_by_name_and_number(site, client, foreign):
    first = come_in(site, client, eap("eap", "alice"))
    other = foreign
    other.load(document([connection("eap", auth="eap-mschapv2", user="alice", server="gw.globex.test")], [("alice", "globex-pw")]))
    assert other.connect("eap"), other.last + other.log()
    far = site.expect("up", tenant=2)
    assert sorted(site.wires.ask("sessions")[1:]) == [f"1 {first['vpn_sid']} alice strongSwan up", f"2 {far['vpn_sid']} alice - up"]
    assert site.wires.ask("disconnect", "nobody") == ["done 0"]
    assert site.wires.ask("disconnect", "ALICE") == ["done 1"]  # of the first tenant, whatever the case
    site.expect("down", vpn_sid=first["vpn_sid"], cause="admin")
    assert site.wires.ask("sessions")[1:] == [f"2 {far['vpn_sid']} alice - up"]
    assert site.wires.ask("disconnect", far["vpn_sid"]) == ["done 1"]
    site.expect("down", tenant=2, vpn_sid=far["vpn_sid"], cause="admin")


def test_what_a_daemon_remembers_outlives_it(site, client, second):
    go(site, client, come_in(site, client, eap("eap", "alice")))
    up = come_in(site, second, eap("eap", "mallory"))
    go(site, second, up)
    for _ in range(4):
        stay_out(site, client, eap("eap", "bob"), passwords=[("bob", "x")], event="auth_fail")
    wait_until(lambda: "bob 4" in site.wires.ask("memory"), 5, "controld having what iked remembers")
    site.end("iked", signal.SIGKILL)
    site.start("iked")
    site.apply()
    # The same address although another's name may point to it; and the fifth failure, not the first.
    again = come_in(site, second, eap("eap", "mallory"))
    assert again["ip4"] == up["ip4"]
    go(site, second, again)
    stay_out(site, client, eap("eap", "bob"), passwords=[("bob", "x")], event="auth_fail")
    assert "locked bob" in site.wires.ask("sessions")
    assert site.wires.ask("unlock", "BOB") == ["done 1"] and site.wires.ask("unlock", "bob") == ["done 0"]
    assert "locked bob" not in site.wires.ask("sessions")


def test_a_down_survives_a_kill_between_the_end_and_its_record(site, client):
    up = come_in(site, client, eap("eap", "alice"))
    site.end("logd", signal.SIGKILL)  # nobody takes the record
    client.disconnect("eap")
    wait_until(lambda: site.wires.ask("kept") == ["1"], 10, "the tunnel ending")
    site.end("iked", signal.SIGKILL)
    site.start("logd")
    site.start("iked")
    site.apply()
    down = site.expect("down", vpn_sid=up["vpn_sid"], cause="internal")
    assert down["msg"] == "the keying daemon was restarted while the session ended" and down["user"] == "alice"


def test_limits_of_the_tenant_and_of_a_group_refuse_the_next(site, client, second):
    for owner in (lambda: site.plan["tenants"][0], lambda: site.group):
        owner()["sessionsMax"] = 1
        site.apply()
        up = come_in(site, client, eap("eap", "alice"))
        stay_out(site, second, eap("eap", "mallory"), cause="limit_tenant")
        go(site, client, up)
        up = come_in(site, second, eap("eap", "mallory"))
        go(site, second, up)
        site.plan = site.first_plan()


def test_a_country_is_where_the_tenant_says_it_is(site, client):
    site.plan["tenants"][0]["countries"] = [{"code": "JP", "prefixes": [prefix("192.0.2.0/24")]}, {"code": "FR", "prefixes": [prefix("192.0.2.10/32")]}]
    site.group["sourceCountries"] = ["JP"]
    site.apply()
    assert stay_out(site, client, eap("eap", "alice"), cause="src_ip")["peer_cc"] == "FR"
    site.group["sourceCountries"] = ["JP", "FR"]
    site.apply()
    up = come_in(site, client, eap("eap", "alice"), peer_cc="FR")
    go(site, client, up)


def test_certificate_brings_in_over_ipv6(site, client):
    up = come_in(site, client, connection("cert", certificate="alice-acme", gateway=GATEWAY6, vips="::", remote="fd00:20::/32"), name="cert",
                 auth="pubkey", user="alice@example.test")
    assert site.wires.ask("tunnels") == [f"1 user 12 port 41 {up['ip6']}"]
    assert client.ping(INSIDE6)
    go(site, client, up, "cert")


def test_two_gateways_of_a_tenant_and_another_tenant_at_the_same_address(site, client, foreign):
    up = come_in(site, client, eap("eap", "alice", gateway=OSAKA), gw_name="osaka")
    other = foreign
    other.load(document([connection("eap", auth="eap-mschapv2", user="alice", server="gw.globex.test")], [("alice", "globex-pw")]))
    assert other.connect("eap"), other.last + other.log()
    far = site.expect("up", tenant=2, gw_name="paris")
    assert far["ip4"] == up["ip4"]  # both tenants' pools are the same
    assert sorted(line.split()[4] for line in site.wires.ask("tunnels")) == ["42", "43"]
    other.disconnect("eap")
    site.expect("down", tenant=2, cause="user")
    other.load(document([connection("eap2", auth="eap-mschapv2", user="alice", server="gw.globex.test")], [("alice", "acme-pw")]))
    assert not other.connect("eap2", seconds=8)
    site.expect("auth_fail", tenant=2, cause="auth", seconds=20)
    go(site, client, up)


def test_an_unknown_user_and_a_wrong_password_end_alike(site, client):
    first = stay_out(site, client, eap("eap", "nobody"), passwords=[("nobody", "x")], event="auth_fail")
    second = stay_out(site, client, eap("eap", "alice"), passwords=[("alice", "x")], event="auth_fail")
    assert {(one["cause"], one["msg"], one["result"]) for one in (first, second)} == {("auth", "authentication: wrong password or unknown user. Remedy: type name and password anew (Windows shows 691)", "fail")}


def test_five_wrong_passwords_shut_out_and_others_come_in(site, client):
    for _ in range(5):
        stay_out(site, client, eap("eap", "mallory"), passwords=[("mallory", "x")], event="auth_fail")
    shut = stay_out(site, client, eap("eap", "mallory"), event="auth_fail", user="mallory")
    assert "shut out" in shut["msg"]

    def locks():
        return [one for one in read_log(site.root / "run", "mfw00000001") if one["type"] == "sec" and one["event"] == "AUTH_LOCK_USER" and one["user"] == "mallory"]
    (lock,) = wait_until(locks, 20, "the lock as a security event")
    assert (lock["user"], lock["action"], lock["count"], lock["sev"]) == ("mallory", "locked", 5, 4)
    go(site, client, come_in(site, client, eap("eap", "alice")))


def test_who_is_in_no_group_or_suspended_is_denied_with_the_reason(site, client):
    denied = stay_out(site, client, eap("eap", "lonely"), cause="config", user="lonely")
    assert "no group" in denied["msg"]
    site.user("Alice")["suspended"] = True
    site.apply()
    assert stay_out(site, client, eap("eap", "alice"), cause="admin")["msg"] == "admission: the user is suspended"


def test_suspension_ends_a_live_session_within_ten_seconds(site, client):
    up = come_in(site, client, eap("eap", "alice"))
    site.user("Alice")["suspended"] = True
    site.apply()
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="admin")
    assert not client.ping(INSIDE4, check=False)


def test_a_new_list_ends_the_session_whose_certificate_it_names(site, world, client):
    stays = come_in(site, client, eap("eap", "alice"), connection("cert", certificate="alice-acme"), name="eap")
    assert client.connect("cert"), client.last
    up = site.expect("up", auth="pubkey")
    pki = world.pki
    gateway = site.plan["tenants"][0]["gateways"][0]
    gateway["crls"] = [pki.path("acme-ecdsa.crl").read_text()]  # names somebody else
    site.apply()
    assert client.ping(INSIDE4)
    pki.revoke("alice-acme", "acme-ecdsa")
    gateway["crls"] = [pki.path("acme-ecdsa.crl").read_text()]
    site.apply()
    down = site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="cert_revoked")
    assert "revoked" in down["msg"]
    go(site, client, stays, "eap")
    stay_out(site, client, connection("cert", certificate="alice-acme"), name="cert", event="auth_fail", cause="cert_revoked")


def rounds(name, certificate, user):
    """A device's certificate, then the user's password (RFC 4739)."""
    second = f"  local-2 {{\n    auth = eap-mschapv2\n    eap_id = {user}\n    round = 2\n  }}\n  remote {{"
    return connection(name, certificate=certificate).replace("  local {", "  local-1 {\n    round = 1", 1).replace("  remote {", second, 1)


def test_a_group_that_asks_for_a_device_gets_one_and_writes_it_down(site, world, client):
    serial = run("openssl", "x509", "-in", world.pki.path("alice-acme.pem"), "-noout", "-serial").stdout.strip().split("=")[1].lower().lstrip("0")
    tenant = site.plan["tenants"][0]
    tenant["gateways"][0]["deviceCas"] = [world.pki.path("acme-ecdsa.pem").read_text()]
    tenant["devicePolicies"] = [{"name": "standard"}]
    tenant["devices"] = [{"name": "dev-1", "label": "NB-1", "owner": "alice", "serials": [serial], "group": "laptops", "os": "Debian 12"}]
    site.apply()
    skipped = come_in(site, client, eap("eap", "alice"))
    assert site.device(skipped)["result"] == "skipped" and "device_id" not in skipped
    go(site, client, skipped)
    site.group["devicePolicy"] = "standard"
    site.apply()
    out = stay_out(site, client, eap("eap", "alice"), cause="device")
    assert "showed no device certificate" in out["msg"]
    assert site.device(out)["cause"] == "unregistered" and site.device(out)["sev"] == 4
    tenant["devices"][0]["owner"] = "mallory"
    site.apply()
    other = stay_out(site, client, rounds("both", "alice-acme", "alice"), name="both", cause="device")
    assert site.device(other)["cause"] == "user_mismatch" and site.device(other)["device_id"] == "dev-1"
    tenant["devices"][0]["owner"] = "alice"
    site.apply()
    up = come_in(site, client, rounds("both", "alice-acme", "alice"), name="both", user="alice", device_id="dev-1", auth="eap-mschapv2")
    device = site.device(up)
    assert {name: device.get(name) for name in ("result", "method", "assured", "user", "device_id", "device_name", "device_group", "cert_serial",
                                                "cert_subject", "revocation", "os", "policy", "cause", "proto", "peer_ip")} == {
        "result": "ok", "method": "cert", "assured": "proven", "user": "alice", "device_id": "dev-1", "device_name": "NB-1",
        "device_group": "laptops", "cert_serial": serial, "cert_subject": "CN=alice-acme,O=Test", "revocation": "unchecked", "os": "Debian 12",
        "policy": "standard", "cause": "none", "proto": "ikev2", "peer_ip": up["peer_ip"]}
    tenant["devices"][0]["state"] = "DISABLED"
    site.apply()
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="device")
    stay_out(site, client, rounds("both", "alice-acme", "alice"), name="both", cause="device")


def test_a_device_nobody_registered_waits_for_approval_where_the_policy_says_so(site, world, client):
    tenant = site.plan["tenants"][0]
    tenant["gateways"][0]["deviceCas"] = [world.pki.path("acme-ecdsa.pem").read_text()]
    tenant["devicePolicies"] = [{"name": "standard", "request": True}]
    site.group["devicePolicy"] = "standard"
    site.apply()
    out = stay_out(site, client, rounds("both", "alice-acme", "alice"), name="both", cause="device")
    asked = site.device(out)
    assert (asked["result"], asked["cause"], asked["user"]) == ("pending", "not_approved", "alice") and "device_id" not in asked
    tenant["devices"] = [{"name": "dev-1", "owner": "alice", "serials": [asked["cert_serial"]]}]  # as the record has it
    site.apply()
    up = come_in(site, client, rounds("both", "alice-acme", "alice"), name="both", device_id="dev-1")
    go(site, client, up, "both")


def test_removed_gateway_ends_its_sessions_and_answers_nobody(site, client):
    up = come_in(site, client, eap("eap", "alice", gateway=OSAKA))
    stays = connection("cert", certificate="alice-acme")
    kept = come_in(site, client, stays, name="cert")
    site.plan["tenants"][0]["gateways"].pop()
    site.apply()
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="config")
    stay_out(site, client, stays, eap("eap", "alice", gateway=OSAKA), cause="config")
    assert client.ping(INSIDE4)
    go(site, client, kept, "cert")


def test_a_second_session_is_refused_or_replaces_the_first(site, client, second):
    site.group["sessionsPerUser"] = 1
    site.apply()
    first = come_in(site, client, eap("eap", "alice"))
    stay_out(site, second, eap("eap", "alice"), cause="limit_user")
    assert client.ping(INSIDE4)
    site.group["replaceOldest"] = True
    site.apply()
    after = come_in(site, second, eap("eap", "alice"))
    site.expect("down", vpn_sid=first["vpn_sid"], cause="replaced")
    assert after["ip4"] == first["ip4"]
    assert second.ping(INSIDE4)
    go(site, second, after)


def test_an_empty_pool_denies(site, client, second):
    site.plan["tenants"][0]["pools"][0]["ranges"] = [{"first": packed("10.99.0.10"), "last": packed("10.99.0.10")}]
    site.apply()
    up = come_in(site, client, eap("eap", "alice"))
    stay_out(site, second, eap("eap", "mallory2"), passwords=[("mallory2", "x")], event="auth_fail")
    site.plan["tenants"][0]["users"].append({"id": 99, "name": "bob", "ntHash": raw(bytes.fromhex(nt_hash("bob-pw"))), "groups": ["staff"]})
    site.apply()
    stay_out(site, second, eap("eap", "bob"), passwords=[("bob", "bob-pw")], cause="pool_empty")
    go(site, client, up)


def test_idle_and_longest_duration_end_sessions(site, client):
    site.plan["tenants"][0]["gateways"][0].update(sessionSecondsMax=3)
    site.apply()
    up = come_in(site, client, eap("eap", "alice"))
    site.expect("down", seconds=20, vpn_sid=up["vpn_sid"], cause="max_time")
    site.plan["tenants"][0]["gateways"][0].update(sessionSecondsMax=0, idleSeconds=3)
    site.apply()
    up = come_in(site, client, eap("eap", "alice"))
    site.expect("down", seconds=20, vpn_sid=up["vpn_sid"], cause="idle")


def test_a_limit_of_the_data_plane_makes_a_new_sa(site, client):
    up = come_in(site, client, eap("eap", "alice"))
    before = client.spis()
    site.wires.ask("expire", "soft", before[0][1])
    site.expect("rekey", vpn_sid=up["vpn_sid"])
    wait_until(lambda: len(client.spis()) == 1 and client.spis() != before, 5, "the new SA alone")
    assert client.ping(INSIDE4, count=2)
    assert go(site, client, up)["pkts_in"] == 2  # of both SAs together


def test_a_data_plane_that_dies_ends_sessions_and_clients_come_back(site, client):
    up = come_in(site, client, eap("eap", "alice", more="mobike = no"))
    site.wires.ask("die")
    site.expect("down", vpn_sid=up["vpn_sid"], cause="internal")
    again = come_in(site, client, eap("eap", "alice"))
    assert client.ping(INSIDE4)
    go(site, client, again)


def test_a_data_plane_that_refuses_denies(site, client):
    site.wires.ask("refuse", 1)
    stay_out(site, client, eap("eap", "alice"), cause="internal")
    site.wires.ask("refuse", 0)


def test_killed_daemon_leaves_traffic_and_its_user_replaces_the_session(site, client, second):
    up = come_in(site, client, eap("eap", "alice"))
    site.end("iked", signal.SIGKILL)
    assert client.ping(INSIDE4, count=2)
    site.start("iked")
    site.apply()
    assert client.ping(INSIDE4, count=2)  # the new daemon closes nothing
    after = come_in(site, second, eap("eap", "alice"))
    assert after["ip4"] == up["ip4"]
    down = site.expect("down", vpn_sid=up["vpn_sid"], cause="replaced")
    assert down["user"] == "alice" and down["ip4"] == up["ip4"] and down["start_ts"] <= up["ts"]
    go(site, second, after)
    client.forget("eap")


def test_what_a_killed_daemon_left_obeys_the_configuration(site, client):
    up = come_in(site, client, eap("eap", "alice"))
    site.end("iked", signal.SIGKILL)
    site.user("Alice")["suspended"] = True
    site.start("iked")
    site.apply()
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="admin")
    assert not client.ping(INSIDE4, check=False)
    client.forget("eap")


def test_records_wait_for_logd(site, client):
    site.end("logd", signal.SIGKILL)
    client.load(document([eap("eap", "alice")], PASSWORDS))
    assert client.connect("eap"), client.last
    client.disconnect("eap")
    site.start("logd")
    up = site.expect("up")
    site.expect("down", vpn_sid=up["vpn_sid"], cause="user")


def test_a_daemon_that_is_stopped_says_goodbye(site, client):
    up = come_in(site, client, eap("eap", "alice"))
    assert site.end("iked") == 0
    site.expect("down", vpn_sid=up["vpn_sid"], cause="maintenance")
    wait_until(lambda: client.spis() == [], 5, "the client hearing of it")
    site.start("iked")
    site.apply()


def test_a_record_names_the_client_what_it_offered_and_what_is_weak(site, world):
    def windows():
        return Initiator(world.name("ca"), GATEWAY4, families()["windows-10"], trust=[world.pki.path("acme-ecdsa.pem")])

    with pytest.raises(IkeError):
        windows().log_in("alice", "acme-pw")
    denied = site.expect("denied", cause="crypto", client="Windows 10 or 11")
    assert denied["sev"] == 4 and "import the profile this gateway hands out" in denied["msg"]
    assert denied["msg"].endswith("; it offered 3DES/AES128-CBC/AES192-CBC/AES256-CBC/SHA1-96/SHA256-128/SHA384-192/PRFSHA1/PRFSHA256/PRFSHA384/MODP1024")
    site.plan["tenants"][0]["gateways"][0]["profile"] = "windows-default"
    site.apply()
    client = windows().log_in("alice", "acme-pw")
    up = site.expect("up", user="alice", client="Windows 10 or 11")
    assert up["sev"] == 4 and up["msg"] == "weak algorithms in use: MODP_1024,HMAC_SHA1_96"
    assert up["ike_suite"].startswith("AES256-CBC/") and up["esp_suite"] == "AES256-CBC/SHA1-96"
    client.leave()
    site.expect("down", vpn_sid=up["vpn_sid"], cause="user")
    strong = Initiator(world.name("ca"), GATEWAY4, families()["windows-hardened"], trust=[world.pki.path("acme-ecdsa.pem")]).log_in("alice", "acme-pw")
    up = site.expect("up", client="Windows 10 or 11")
    assert up["sev"] == 6 and "msg" not in up
    strong.leave()
    site.expect("down", vpn_sid=up["vpn_sid"], cause="user")
