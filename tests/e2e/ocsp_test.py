# SPDX-License-Identifier: Apache-2.0
"""Whether a client's certificate is revoked, asked of the responder the tenant names: Debian's `openssl ocsp` in the network of management,
the whole appliance between it and a stock strongSwan outside."""

import datetime
import itertools
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from lab.appliance import default_binaries
from lab.lab import Lab

from ike_test import connection, document
from ike_world import Pki, run
from remote_access_test import GATEWAYS, WEB, Site, new_client

PORT = 8899
HOUR = datetime.timedelta(hours=1)
SERVE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = open(sys.argv[2], "rb").read()
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
"""


class OcspSite(Site):
    """acme's gateway has a responder."""

    number = itertools.count(1)

    def _remote(self, tenant):
        text = super()._remote(tenant)
        return text if tenant == "acme" else text.replace(self.gateway, "", 1)

    def follow(self, port=PORT, without="refuse", networks="127.0.0.0/8"):
        """Another responder, of which nothing is remembered."""
        self.unit = f"responders: {{ networks: [{networks}] }}\n"
        self.gateway = f' ocsp: {{ url: "http://127.0.0.1:{port}/{next(self.number)}", without_answer: {without} }},'
        self.commit()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    folder = tmp_path_factory.mktemp("ocsp")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice@example.test")
    pki.certificate("stranger", "ecdsa", "acme", "email:stranger@example.test")
    portal = tmp_path_factory.mktemp("portal")
    (portal / "index.html").write_text("<!doctype html><title>portal</title>")
    for one in (portal, *portal.parents):
        if str(one).startswith("/tmp/pytest"):  # pytest makes its folders for root alone
            one.chmod(0o755)
    with Lab(remote_access=True) as lab:
        lab.appliance.start_management(portal)
        made = OcspSite(lab, pki, folder)
        yield made
        print(lab.appliance.output("iked")[-3000:], lab.appliance.output("mgmtd")[-2000:])
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    made = new_client(site, tmp_path_factory.mktemp("client"))
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def goodbye(client):
    yield
    client.forget("vpn")


class Running:
    """A program among the daemons, until it is stopped."""

    def __init__(self, site, *argv, ready):
        self.process = subprocess.Popen(["ip", "netns", "exec", site.lab.topology.office, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        line = self.process.stdout.readline()
        assert ready in line, line + self.process.stdout.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def responder(site, state, signer="acme", name="alice"):
    """The openssl tool as responder: V(alid), R(evoked), or a list without the certificate."""
    pki = site.pki
    serial = run("openssl", "x509", "-in", pki.path(f"{name}.pem"), "-noout", "-serial").stdout.strip().split("=")[1]
    revoked = "250101000000Z" if state == "R" else ""
    pki.path("index").write_text(f"{state}\t400101000000Z\t{revoked}\t{serial}\tunknown\t/O=Test/CN={name}\n" if state else "")
    return Running(site, "openssl", "ocsp", "-index", pki.path("index"), "-port", PORT, "-rsigner", pki.path(f"{signer}.pem"), "-rkey",
                   pki.path(f"{signer}.key"), "-CA", pki.path("acme.pem"), "-nmin", "30", ready="")


def told(site, begin, end):
    """Who always says the same, which was true between `begin` and `end`: good."""
    pki = site.pki
    certificate, issuer = (x509.load_pem_x509_certificate(pki.path(f"{name}.pem").read_bytes()) for name in ("alice", "acme"))
    key = serialization.load_pem_private_key(pki.path("acme.key").read_bytes(), None)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    answer = (ocsp.OCSPResponseBuilder().add_response(certificate, issuer, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, now + begin, now + end, None, None)
              .responder_id(ocsp.OCSPResponderEncoding.NAME, issuer).sign(key, hashes.SHA256()))
    pki.path("answer.der").write_bytes(answer.public_bytes(serialization.Encoding.DER))
    return Running(site, "/usr/bin/python3", "-c", SERVE, PORT, pki.path("answer.der"), ready="ready")


def by_certificate():
    return connection("vpn", certificate="alice", gateway=GATEWAYS["acme"][0], server="gw.acme.test", remote="10.0.0.0/24")


def come_in(site, client):
    client.load(document([by_certificate()]))
    assert client.connect("vpn"), client.last + client.log() + site.lab.appliance.output("iked")
    up = site.expect("up", auth="pubkey")
    assert site.lab["outside"].curl(WEB) == (0, "acme web1")
    return up


def stay_out(site, client, **wanted):
    client.load(document([by_certificate()]))
    assert not client.connect("vpn")
    return site.expect("auth_fail", **wanted)


def test_a_good_word_lets_in_and_is_remembered(site, client):
    site.follow()
    with responder(site, "V"):
        come_in(site, client)
    client.forget("vpn")
    come_in(site, client)  # nobody is there to be asked


def test_a_revoked_certificate_stays_out_whatever_the_setting(site, client):
    for without in ("refuse", "admit"):
        site.follow(without=without)
        with responder(site, "R"):
            assert "revoked" in stay_out(site, client, cause="cert_revoked")["msg"]


def test_a_certificate_the_responder_does_not_know_stays_out(site, client):
    site.follow(without="admit")
    with responder(site, ""):
        assert "does not know" in stay_out(site, client, cause="auth")["msg"]


def test_without_a_word_that_counts_the_setting_decides(site, client):
    def say_nothing():
        return told(site, -2 * HOUR, -HOUR)
    for without in ("refuse", "admit"):
        for who in (say_nothing, lambda: responder(site, "V", signer="gw-acme"), lambda: responder(site, "V", signer="globex")):
            site.follow(without=without)
            with who():
                if without == "admit":
                    come_in(site, client)
                    client.forget("vpn")
                else:
                    assert "did not say" in stay_out(site, client, cause="auth")["msg"]
    site.follow()
    with told(site, -HOUR, HOUR):  # the same server, in time
        come_in(site, client)
    said = site.lab.appliance.output("iked")
    assert "out of date" in said and "neither the CA nor anybody the CA lets sign" in said


def test_nobody_at_the_address_is_a_refusal_or_not_by_the_setting(site, client):
    site.follow(port=PORT + 1)
    stay_out(site, client, cause="auth")
    assert "no connection to 127.0.0.1" in site.lab.appliance.output("iked")
    site.follow(port=PORT + 1, without="admit")
    come_in(site, client)


def test_nobody_is_asked_where_the_provider_lets_no_responder_be(site, client):
    site.follow(networks="192.0.2.0/24")
    with responder(site, "V"):
        stay_out(site, client, cause="auth")
        site.follow()
        come_in(site, client)


def test_who_is_in_goes_when_his_certificate_is_revoked(site, client):
    site.follow()
    with responder(site, "V"):
        up = come_in(site, client)
    with responder(site, "R"):
        site.follow()  # what was remembered is void: all who are in are asked about
        assert "revoked" in site.expect("down", seconds=30, vpn_sid=up["vpn_sid"], cause="cert_revoked")["msg"]
    assert site.lab["outside"].curl(WEB, 1)[0] != 0
