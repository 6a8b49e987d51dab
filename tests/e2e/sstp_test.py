# SPDX-License-Identifier: Apache-2.0
"""SSTP through the whole appliance: a client of our own, which can do each step wrongly, from the Internet side. What its programs
saw decides; then the vpn log must agree. A client nobody here wrote: tests/guest/sstp_test.py."""

import json
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from lab.lab import Lab
from lab.system import inside, wait_until

from ike_world import Pki, nt_hash
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
        self.idle, self.taken, self.suspended = 0, set(), []

    def _remote(self, tenant):
        def pems(ending):
            return json.dumps([self.pki.path(f"{name}.{ending}").read_text() for name in self.certificates[tenant]])
        users = "".join(f"      - {{ name: {name}, groups: [{', '.join(groups)}], nt_hash: \"{nt_hash(f'{name}-{tenant}')}\","
                        f" suspended: {str(name in self.suspended).lower()} }}\n" for name, groups in self.users.items())
        four, six = GATEWAYS[tenant]
        return f"""    pools:
      - {{ name: people, tunnel: users, ranges: [10.99.0.10-10.99.0.40, "fd00:99:0:1::10-fd00:99:0:1::40"] }}
    user_groups:
      - {{ name: staff, pool: people, sessions_per_user: 2 }}
      - {{ name: admins }}
    users:
{users}    gateways:
      - {{ name: vpn, addresses: [{four}, "{six}"], port: net, tunnel: users, identity: gw.{tenant}.test, idle_seconds: {self.idle},
          networks: [10.0.0.0/24, "fd00:10::/32"], dns: [10.0.0.2],
          sstp: {{ {self.sstp}, certificates: {pems('pem')}, keys: {pems('key')} }} }}
"""

    def commit(self):
        head, *tenants = Path(self.lab.config).read_text().split("  - service_code: ")
        out = [head]
        for tenant, text in zip(("acme", "globex"), tenants):
            text = text.replace("zones: [servers, office, internet]", "zones: [servers, office, internet, remote]", 1)
            text = text.replace("    ports:\n", "    ports:\n" + PORT, 1)
            text = text.replace("    policies:\n", self._remote(tenant) + "    policies:\n" + POLICY, 1)
            out.append(text)
        self.path.write_text("  - service_code: ".join(out))
        done = self.lab.appliance.commit(self.path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: f"follows revision {self.lab.appliance.generation()}\n" in self.lab.appliance.output("tunneld"), 10, "tunneld following")

    def expect(self, event, tenant="acme", seconds=12, **wanted):
        def find():
            for one in self.lab.appliance.records(SERVICE_CODES[tenant]):
                fits = one["type"] == "vpn" and one["event"] == event and all(one.get(name) == value for name, value in wanted.items())
                if fits and one["eid"] not in self.taken:
                    self.taken.add(one["eid"])
                    return one
            return None
        return wait_until(find, seconds, f"a record {event} {wanted}", every=0.2)

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
