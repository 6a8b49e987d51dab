# SPDX-License-Identifier: Apache-2.0
"""SSTP through the whole appliance: a client of our own, which can do each step wrongly, from the Internet side. What its programs
saw decides; then the vpn log must agree. A client nobody here wrote: tests/guest/sstp_guest_test.py."""

import base64
import hashlib
import json
import socket
import ssl
import time
from pathlib import Path

import pytest
from lab.lab import Lab
from lab.system import inside, wait_until

from ike_world import Pki, nt_hash, run
from sstp_client import ABORT, ECHO_REQUEST, ECHO_RESPONSE, IP, SstpClient, SstpError, control

SERVICE_CODES = {"acme": "acm00000001", "globex": "glx00000001"}
GATEWAYS = {"acme": ("203.0.113.21", "2001:db8:a::21"), "globex": ("203.0.113.37", "2001:db8:b::37")}
WEB, LOGIN, DATABASE = "http://10.0.0.2/", "http://10.0.0.2:22/", "http://10.0.0.18:5432/"
WEB6 = "http://[fd00:10:0:1::2]/"
PORT = "      - { name: users, kind: tunnel, zone: remote }\n"
POLICY = """      - name: remote users
        from: [remote]
        to: [servers]
        rules:
          - { name: staff web, action: allow, users: [staff], service: [http], log: both }
          - { name: staff ping, action: allow, users: [staff], service: [ping], log: both }
          - { name: admins login, action: allow, users: [admins], service: [ssh], log: both }
"""


class Site:
    """The document of both tenants, and how to change it."""

    def __init__(self, lab, pki, folder):
        self.lab, self.pki, self.path = lab, pki, folder / "sstp.yaml"
        self.users = {"alice": ["staff"], "bob": ["staff", "admins"], "carol": ["staff"]}
        self.certificates = {tenant: [f"gw-{tenant}"] for tenant in GATEWAYS}
        self.sstp = "accept: [mschapv2, eap-mschapv2]"
        self.daemon = "tunneld"
        self.policy = POLICY
        self.ocsp = {}
        self.idle, self.taken, self.suspended = 0, set(), []

    def _remote(self, tenant):
        def pems(ending):
            return json.dumps([self.pki.path(f"{name}.{ending}").read_text() for name in self.certificates[tenant]])
        users = "".join(f"      - {{ name: {name}, groups: [{', '.join(groups)}], nt_hash: \"{nt_hash(f'{name}-{tenant}')}\","
                        f" suspended: {str(name in self.suspended).lower()} }}\n" for name, groups in self.users.items())
        four, six = GATEWAYS[tenant]
        ocsp = f", ocsp: [{json.dumps(self.ocsp[tenant])}]" if tenant in self.ocsp else ""
        return f"""    pools:
      - {{ name: people, tunnel: users, ranges: [10.99.0.10-10.99.0.40, "fd00:99:0:1::10-fd00:99:0:1::40"] }}
    user_groups:
      - {{ name: staff, pool: people, sessions_per_user: 2 }}
      - {{ name: admins }}
    users:
{users}    gateways:
      - {{ name: vpn, addresses: [{four}, "{six}"], port: net, tunnel: users, identity: gw.{tenant}.test, idle_seconds: {self.idle},
          networks: [10.0.0.0/24, "fd00:10::/32"], dns: [10.0.0.2],
          sstp: {{ {self.sstp}, certificates: {pems('pem')}, keys: {pems('key')}{ocsp} }} }}
"""

    def commit(self):
        head, *tenants = Path(self.lab.config).read_text().split("  - service_code: ")
        out = [head]
        for tenant, text in zip(("acme", "globex"), tenants):
            text = text.replace("zones: [servers, office, internet]", "zones: [servers, office, internet, remote]", 1)
            text = text.replace("    ports:\n", "    ports:\n" + PORT, 1)
            text = text.replace("    policies:\n", self._remote(tenant) + "    policies:\n" + self.policy, 1)
            out.append(text)
        self.path.write_text("  - service_code: ".join(out))
        done = self.lab.appliance.commit(self.path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: f"follows revision {self.lab.appliance.generation()}\n" in self.lab.appliance.output(self.daemon), 10, f"{self.daemon} following")

    def expect(self, event, tenant="acme", seconds=12, **wanted):
        def find():
            for one in self.lab.appliance.records(SERVICE_CODES[tenant]):
                fits = one["type"] == "vpn" and one["event"] == event and all(one.get(name) == value for name, value in wanted.items())
                if fits and one["eid"] not in self.taken:
                    self.taken.add(one["eid"])
                    return one
            return None
        return wait_until(find, seconds, f"a record {event} {wanted}", every=0.2)

    def security(self, event, tenant="acme"):
        def find():
            return next((one for one in self.lab.appliance.records(SERVICE_CODES[tenant]) if one["type"] == "sec" and one["event"] == event), None)
        return wait_until(find, 20, f"an event {event}", every=0.2)

    def client(self, user="alice", tenant="acme", six_outside=False, **more):
        return SstpClient(self.lab["outside"].namespace, GATEWAYS[tenant][six_outside], user, more.pop("password", f"{user}-{tenant}"),
                          server=f"gw.{tenant}.test", trust=more.pop("trust", str(self.pki.path(f"{tenant}.pem"))), **more)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sstp")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("gw-acme-new", "ecdsa", "acme", "DNS:gw.acme.test")
    pki.certificate("gw-acme-other", "rsa", "acme", "DNS:other.acme.test")
    with Lab(keying=("tunneld",)) as lab:
        made = Site(lab, pki, folder)
        made.commit()
        yield made
        for name in ("tunneld", "dataplaned", "controld", "logd"):
            print(f"--- {name}\n{lab.appliance.output(name)[-3000:]}")
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(autouse=True)
def only_new_records(site):
    site.taken |= {one["eid"] for tenant in SERVICE_CODES.values() for one in site.lab.appliance.records(tenant)}


def curl(site, url, seconds=3):
    return site.lab["outside"].curl(url, seconds)


def test_a_user_comes_in_and_passes_by_his_groups(site):
    with site.client("alice") as client:
        assert client.offered == 2, "SHA-256 alone"
        assert curl(site, WEB) == (0, "acme web1")
        assert site.lab["outside"].ping("10.0.0.2")
        assert curl(site, LOGIN, 2)[0] != 0
        up = site.expect("up", user="alice")
        assert up["proto"] == "sstp" and up["auth"] == "mschapv2" and up["gw_name"] == "vpn" and up["ip4"] == client.address
        assert up["esp_suite"] == "TLSv1.3/TLS_AES_256_GCM_SHA384" and up["peer_ip"] == "192.0.2.2"
    down = site.expect("down", user="alice")
    assert down["cause"] == "user" and down["vpn_sid"] == up["vpn_sid"] and down["bytes_in"] > 0 and down["bytes_out"] > 0
    with site.client("bob"):
        assert curl(site, LOGIN) == (0, "acme login")
    site.expect("down", user="bob")


def test_both_families_outside_and_inside(site):
    with site.client("alice", six_outside=True, six=True) as client:
        assert curl(site, WEB6) == (0, "acme web1") and curl(site, WEB) == (0, "acme web1")
        up = site.expect("up", user="alice", peer_ip="2001:db8:0:1::2")
        assert up["ip6"] == client.address6
    site.expect("down", user="alice")


def test_tenants_with_the_same_addresses_do_not_meet(site):
    with site.client("alice", "acme", tun="sstp0") as acme:
        assert curl(site, WEB) == (0, "acme web1")
    with site.client("alice", "globex", tun="sstp1") as globex:
        assert curl(site, WEB) == (0, "globex web1")
        assert globex.address == acme.address, "two tenants may give out the same addresses"
    with pytest.raises(SstpError):
        site.client("alice", "globex", password="alice-acme").connect().login()
    site.expect("auth_fail", tenant="globex", user="alice")


@pytest.mark.parametrize("eap", [False, True])
def test_a_wrong_password_is_told_as_one(site, eap):
    with pytest.raises(SstpError, match="refused|abort|disconnect"):
        site.client("carol", password="wrong", eap=eap).connect().login()
    fail = site.expect("auth_fail", user="carol")
    assert fail["cause"] == "auth" and "wrong password" in fail["msg"] and fail["auth"] == ("eap-mschapv2" if eap else "mschapv2")


def test_eap_mschapv2_comes_in_too(site):
    site.sstp = "accept: [eap-mschapv2]"
    site.commit()
    try:
        with site.client("alice", eap=True):
            assert curl(site, WEB) == (0, "acme web1")
            assert site.expect("up", user="alice")["auth"] == "eap-mschapv2"
    finally:
        site.sstp = "accept: [mschapv2, eap-mschapv2]"
        site.commit()


def flip(at):
    def spoil(packet):
        packet[at] ^= 1
    return spoil


@pytest.mark.parametrize(("how", "why"), [({"spoil": flip(20)}, "another connection"), ({"spoil": flip(60)}, "another certificate"),
                                          ({"certificate_hash": bytes(32)}, "another certificate"), ({"spoil": flip(90)}, "keys of its login"),
                                          ({"hash_bit": 1}, "a hash that was not offered")],
                         ids=["nonce", "signed hash", "other certificate", "mac", "sha-1"])
def test_a_wrong_crypto_binding_opens_nothing(site, how, why):
    client = site.client("alice", **how).connect()
    with pytest.raises(SstpError, match="abort"):
        client.login()
    assert client.status == (3, 4), "binding, value not supported"
    client.close()
    denied = site.expect("denied", user="alice")
    assert denied["cause"] == "crypto" and why in denied["msg"]
    assert site.security("VPN_SSTP_BINDING")["action"] == "dropped"


def test_sha1_opens_where_the_gateway_offers_it_and_sha256_is_not_known(site):
    site.sstp = "accept: [mschapv2], sha1: true"
    site.commit()
    try:
        client = site.client("alice", hash_bit=1).connect()
        with pytest.raises(SstpError, match="abort"):
            client.login()  # both were offered: the better one it must be
        assert client.offered == 3
        client.close()
        with site.client("alice"):
            assert curl(site, WEB) == (0, "acme web1")
    finally:
        site.sstp = "accept: [mschapv2, eap-mschapv2]"
        site.commit()


def echo_request(source, destination="10.0.0.2"):
    from scapy.layers.inet import ICMP, IP as Ip4
    return bytes(Ip4(src=source, dst=destination) / ICMP() / b"too early")


def test_no_packet_passes_before_the_binding(site):
    """What the host behind the gateway saw decides: not one packet, before login, and between login and binding."""
    client = site.client("alice", spoil=flip(90))
    with site.lab["acme-web1"].capture() as seen:
        client.connect()
        client.handshake()
        for address in ("10.99.0.38", "10.99.0.10", "192.0.2.2"):
            client.send_frame(IP, echo_request(address))
        client.connected = lambda: None  # the login without CONNECTED
        until = time.monotonic() + 3
        while not client.address and time.monotonic() < until:
            is_control, body = client.packet()
            client.take_control(body) if is_control else client.take(body)
        assert client.address, "IPCP may run before the binding"
        client.send_frame(IP, echo_request(client.address))
        with pytest.raises(TimeoutError):
            client.packet(1)
        assert not [one for one in seen.packets() if one.protocol == 1]
    client.close()
    with site.client("alice") as right, site.lab["acme-web1"].capture() as seen:
        assert site.lab["outside"].ping("10.0.0.2") and right.address
        assert [one for one in seen.packets() if one.protocol == 1], "the nearest packet that may pass"


def test_a_source_that_is_not_his_is_dropped_by_name(site):
    with site.client("alice") as client, site.lab["acme-web1"].capture() as seen:
        client.send_frame(IP, echo_request("10.99.0.11"))
        client.send_frame(IP, echo_request(client.address))
        wait_until(lambda: [one for one in seen.packets() if one.protocol == 1 and one.source == client.address], 5, "his own")
        assert not [one for one in seen.packets() if one.source == "10.99.0.11"]
    drops = {row["reason"]: row["packets"] for row in site.lab.appliance.show("drops") if row["tenant"] == "acme"}
    assert drops.get("vpn-inner-spoof", 0) >= 1


def test_others_on_443_are_answered_politely(site):
    outside = site.lab["outside"]
    trust = str(site.pki.path("acme.pem"))
    where = ["--cacert", trust, "--resolve", f"gw.acme.test:443:{GATEWAYS['acme'][0]}", "-o", "/dev/null", "-w", "%{http_code}"]
    assert outside.curl("https://gw.acme.test/", 5, *where) == (0, "404")
    assert outside.curl("https://gw.acme.test/", 5, *where, "-X", "DELETE") == (0, "405")
    assert outside.curl("https://gw.acme.test/", 5, *where, "-I") == (0, "404")
    with inside(outside.namespace):
        plain = socket.create_connection((GATEWAYS["acme"][0], 443), 5)
    plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
    plain.settimeout(5)
    assert len(plain.recv(100)) <= 100  # a TLS alert, or an end: not a page
    plain.close()


def test_old_tls_and_weak_suites_find_nobody(site):
    def context(**what):
        made = ssl.create_default_context(cafile=str(site.pki.path("acme.pem")))
        for name, value in what.items():
            setattr(made, name, value) if name != "ciphers" else made.set_ciphers(value)
        return made
    for wrong in (context(maximum_version=ssl.TLSVersion.TLSv1_1), context(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
                  context(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES256-SHA384")):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            site.client("alice", tls=wrong).open_tls()
    right = site.client("alice", tls=context(maximum_version=ssl.TLSVersion.TLSv1_2)).connect().login()
    assert right.stream.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    right.close()


def test_the_name_a_client_asks_for_chooses_the_certificate_and_its_binding(site):
    site.certificates["acme"] = ["gw-acme", "gw-acme-other"]
    site.commit()
    with site.client("alice"):
        assert curl(site, WEB) == (0, "acme web1")
    other = site.client("alice")
    other.server = "other.acme.test"
    with other:
        assert curl(site, WEB) == (0, "acme web1")
    # The other certificate's hash: right for the gateway, wrong for this connection.
    der = ssl.PEM_cert_to_DER_cert(site.pki.path("gw-acme-other.pem").read_text())
    client = site.client("alice", certificate_hash=hashlib.sha256(der).digest()).connect()
    with pytest.raises(SstpError, match="abort"):
        client.login()
    client.close()


def test_a_new_certificate_disturbs_nobody(site):
    site.certificates["acme"] = ["gw-acme"]
    site.commit()
    with site.client("alice") as client:
        begun = site.client("bob", tun="sstp1").connect()  # it has seen the old one
        site.certificates["acme"] = ["gw-acme-new"]
        site.commit()
        assert curl(site, WEB) == (0, "acme web1") and not client.done.is_set()
        assert begun.login().address, "who saw the old certificate binds with the old one"
        begun.close()
        fresh = site.client("carol", tun="sstp2").connect()
        new = ssl.PEM_cert_to_DER_cert(site.pki.path("gw-acme-new.pem").read_text())
        assert fresh.stream.getpeercert(binary_form=True) == new and fresh.login().address
        fresh.close()


def test_what_the_ca_says_of_the_certificate_goes_along(site):
    """The openssl tool makes the answer and asks for it; one that has expired stays at home."""
    pki, outside = site.pki, site.lab["outside"]

    def answer(days):
        index = pki.folder / "index"
        serial = run("openssl", "x509", "-in", pki.path("gw-acme.pem"), "-noout", "-serial").stdout.strip().split("=")[1]
        index.write_text(f"V\t400101000000Z\t\t{serial}\tunknown\t/O=Test/CN=gw-acme\n")
        run("openssl", "ocsp", "-issuer", pki.path("acme.pem"), "-cert", pki.path("gw-acme.pem"), "-reqout", pki.path("request.der"), "-no_nonce")
        run("openssl", "ocsp", "-index", index, "-rsigner", pki.path("acme.pem"), "-rkey", pki.path("acme.key"), "-CA", pki.path("acme.pem"),
            "-reqin", pki.path("request.der"), "-respout", pki.path("answer.der"), *days)
        return base64.b64encode(pki.path("answer.der").read_bytes()).decode()

    def stapled():
        return outside.run("sh", "-c", f"openssl s_client -connect {GATEWAYS['acme'][0]}:443 -servername gw.acme.test -status < /dev/null 2>&1").stdout
    site.certificates["acme"] = ["gw-acme"]
    try:
        for days, wanted in ((("-ndays", "3"), True), ((), None)):
            site.ocsp = {"acme": answer(days)}
            site.commit()
            said = stapled()
            assert ("OCSP Response Status: successful" in said and "Cert Status: good" in said) or wanted is None, said[-2000:]
        site.ocsp = {"acme": base64.b64encode(b"no answer").decode()}
        site.commit()
        assert "OCSP response: no response sent" in stapled()
        with site.client("alice"):
            assert curl(site, WEB) == (0, "acme web1")
    finally:
        site.ocsp = {}
        site.commit()


def test_windows_learns_its_routes_by_dhcpinform(site):
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.inet import UDP, IP as Ip4
    with site.client("alice") as client:
        inform = (Ip4(src=client.address, dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(ciaddr=client.address, xid=7)
                  / DHCP(options=[("message-type", "inform"), ("param_req_list", [6, 121, 249]), "end"]))
        with inside(site.lab["outside"].namespace):
            asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asked.bind((client.address, 68))
            asked.settimeout(5)
        client.send_frame(IP, bytes(inform))
        answer = BOOTP(asked.recv(2048))
        asked.close()
        options = dict(one for one in answer[DHCP].options if isinstance(one, tuple) and len(one) == 2)
        assert answer.xid == 7 and options["message-type"] == 5 and options["name_server"] == "10.0.0.2", options


def test_a_session_nobody_uses_ends(site):
    site.idle = 3
    site.commit()
    try:
        with site.client("alice") as client:
            assert curl(site, WEB) == (0, "acme web1")
            wait_until(client.done.is_set, 25, "the end of an idle session")
        site.expect("down", user="alice", cause="idle")
    finally:
        site.idle = 0
        site.commit()


def test_limits_lockout_and_operators_are_the_tenants(site):
    with site.client("bob", tun="sstp1") as one, site.client("bob", tun="sstp2"):
        with pytest.raises(SstpError):
            site.client("bob", tun="sstp3").connect().login()
        denied = site.expect("denied", user="bob")
        assert denied["cause"] == "limit_user", denied
        rows = [row for row in site.lab.appliance.show("sessions", "--vpn") if row["user"] == "bob"]
        assert len(rows) == 2 and {row["ip4"] for row in rows} >= {one.address}, rows
        done = site.lab.appliance.ctl("vpn", "disconnect", "bob", "--tenant", "acme", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(one.done.is_set, 5, "the client hearing of its end")
        assert site.expect("down", user="bob")["cause"] == "admin"
    for _ in range(5):
        with pytest.raises(SstpError):
            site.client("carol", password="guess").connect().login()
    with pytest.raises(SstpError):
        site.client("carol").connect().login()
    wait_until(lambda: [one for one in site.lab.appliance.records(SERVICE_CODES["acme"]) if "shut out" in one.get("msg", "")], 10, "the lockout")
    assert site.lab.appliance.ctl("vpn", "unlock", "carol", "--tenant", "acme", check=False).returncode == 0
    site.client("carol").connect().login().close()


def test_a_suspended_user_ends_at_once(site):
    with site.client("alice") as client:
        site.suspended = ["alice"]
        site.commit()
        wait_until(client.done.is_set, 5, "the end")
        assert site.expect("down", user="alice", cause="admin")
        with pytest.raises(SstpError):
            site.client("alice").connect().login()
    site.suspended = []
    site.commit()


def test_echoes_are_answered_and_malformed_streams_are_closed(site):
    client = site.client("alice").connect()
    client.handshake()
    client.stream.sendall(control(ECHO_REQUEST))
    until = time.monotonic() + 5
    while ECHO_RESPONSE not in client.said and time.monotonic() < until:
        is_control, body = client.packet()
        client.take_control(body) if is_control else client.take(body)
    assert ECHO_RESPONSE in client.said
    client.close()
    for wrong in (b"\x10\x01\x00\x00", b"\x20\x00\x00\x08", b"\x10\x00\x00\x03"):
        client = site.client("alice").connect()
        client.stream.sendall(wrong)
        with pytest.raises(SstpError, match="closed"):
            client.packet(5)
        assert ABORT not in client.said
        client.close()


def test_strangers_who_keep_connections_open_leave_room_for_others(site):
    """32 half-open ones from an address are all it gets; whom nobody knows elsewhere, and who is in already, notice nothing."""
    with site.client("alice"):
        with inside(site.lab["outside"].namespace):
            held = [socket.create_connection((GATEWAYS["acme"][0], 443), 5) for _ in range(60)]
        try:
            refused = wait_until(lambda: sum(_ended(one) for one in held) >= 10, 5, "some refused")
            assert refused
            assert curl(site, WEB) == (0, "acme web1")
            assert site.client("alice", "globex").connect().login().address
        finally:
            for one in held:
                one.close()


def test_who_asks_and_does_not_read_costs_no_memory(site):
    """Echo requests without end, and not one answer read: TCP stops him, and others go on."""
    client = site.client("alice").connect()
    client.handshake()
    client.stream.settimeout(2)
    echoes, sent = control(ECHO_REQUEST) * 1000, 0
    with pytest.raises((socket.timeout, ssl.SSLError, ConnectionError)):
        while sent < 64 << 20:
            sent += client.stream.send(echoes)
    assert sent < 16 << 20, sent
    with site.client("bob", tun="sstp1"):
        assert curl(site, WEB) == (0, "acme web1")
    client.plain.close()


def _ended(one):
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_killed_daemon_ends_its_sessions_and_the_next_one_serves(site):
    client = site.client("alice")
    with client:
        assert curl(site, WEB) == (0, "acme web1")
        up = site.expect("up", user="alice", ip4=client.address)
        site.lab.appliance.kill("tunneld")
        wait_until(client.done.is_set, 5, "the connection's end")
    site.lab.appliance.start_daemon("tunneld")
    wait_until(lambda: "follows revision" in site.lab.appliance.output("tunneld").rsplit("ready", 1)[1], 10, "tunneld following")
    down = site.expect("down", vpn_sid=up["vpn_sid"], seconds=20)
    assert down["cause"] == "internal"
    with site.client("alice"):
        assert curl(site, WEB) == (0, "acme web1")
