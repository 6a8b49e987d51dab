# SPDX-License-Identifier: Apache-2.0
"""libreswan's pluto as client: an IKEv2 that shares nothing with ours. It comes in by certificate up to its CHILD_SA; whether packets pass
depends on the kernel (ESP), which is not asked here. Debian's package conflicts with strongSwan's: it is unpacked, not installed."""

import os
import subprocess
from pathlib import Path

import pytest
from lab.system import wait_until

from client_families_test import PLACES, gateway_text
from ike_world import PROGRAM, TREE, World, run

ROOT = Path(os.environ.get("SEKISHO_LIBRESWAN", TREE / "build/libreswan"))

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
              pytest.mark.skipif(not (ROOT / "usr/libexec/ipsec/pluto").exists(), reason="libreswan is not unpacked: board/setup test")]


class Pluto:
    """pluto in a client's namespace, with folders and programs of its own."""

    def __init__(self, world, folder, connections, secrets="", namespace="ca"):
        self.namespace, self.folder, self.said = world.name(namespace), folder, 0
        self.environment = {**os.environ, "LD_LIBRARY_PATH": str(ROOT / "usr/lib/x86_64-linux-gnu"), "PATH": f"{ROOT}/usr/sbin:{os.environ['PATH']}"}
        for name in ("run", "nss", "ipsec.d"):
            (folder / name).mkdir(parents=True)
        self.nss = f"sql:{folder}/nss"
        self._tool("certutil", "-N", "-d", self.nss, "--empty-password")
        self._tool("certutil", "-A", "-d", self.nss, "-n", "ca", "-t", "CT,,", "-i", world.pki.path("acme-ecdsa.pem"))
        # It sends no certificate request: the gateway's RSA key answers.
        self._tool("certutil", "-A", "-d", self.nss, "-n", "ca-rsa", "-t", "CT,,", "-i", world.pki.path("acme-rsa.pem"))
        for name in ("alice-acme", "bob-rsa"):
            run("openssl", "pkcs12", "-export", "-in", world.pki.path(f"{name}.pem"), "-inkey", world.pki.path(f"{name}.key"), "-name", name,
                "-passout", "pass:x", "-out", folder / f"{name}.p12")
            self._tool("pk12util", "-i", folder / f"{name}.p12", "-d", self.nss, "-W", "x", "-K", "")
        (folder / "secrets").write_text(secrets)
        (folder / "ipsec.conf").write_text("config setup\n\tikev1-policy=accept\n" + connections)
        self.log = open(folder / "pluto.log", "w+", encoding="utf-8")
        script = (f"mount -t tmpfs tmpfs /usr/libexec && mkdir /usr/libexec/ipsec && mount --bind {ROOT}/usr/libexec/ipsec /usr/libexec/ipsec && "
                  f"exec /usr/libexec/ipsec/pluto --config {folder}/ipsec.conf --nofork --stderrlog --rundir {folder}/run --nssdir {folder}/nss --ipsecdir {folder}/ipsec.d "
                  f"--secretsfile {folder}/secrets --no-dnssec --impair revival")
        self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
                                        env=self.environment, stdout=self.log, stderr=self.log)
        wait_until(lambda: self.process.poll() is not None or self.whack("--status").returncode == 0, 20, "pluto answering", every=0.1)
        assert self.process.poll() is None, self.text()

    def _tool(self, name, *argv):
        run(ROOT / "usr/bin" / name, *argv, env=self.environment)

    def whack(self, *argv):
        return subprocess.run(["ip", "netns", "exec", self.namespace, str(ROOT / "usr/libexec/ipsec/whack"), "--rundir", str(self.folder / "run"), *argv],
                              env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def add(self, name):
        done = run("ip", "netns", "exec", self.namespace, ROOT / "usr/libexec/ipsec/addconn", "--ctlsocket", self.folder / "run/pluto.ctl",
                   "--config", self.folder / "ipsec.conf", name, env=self.environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def text(self):
        return (self.folder / "pluto.log").read_bytes()[self.said:].decode(errors="replace")

    def clear(self):
        """Forgets what was said."""
        self.said = len((self.folder / "pluto.log").read_bytes())

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


CONNECTION = """
conn {name}
	ikev2=yes
	leftauth={key}
	rightauth=rsasig
	left=192.0.2.10
	leftcert={certificate}
	leftid=%fromcert
	leftsubnet=0.0.0.0/0
	leftmodecfgclient=yes
	right={gateway}
	rightid=@gw.acme.test
	rightsubnet=0.0.0.0/0
	narrowing=yes
	encapsulation=yes
	mobike=yes
	{more}
"""


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        for address in list(PLACES.values())[1:]:
            run("ip", "-n", made.name("ga"), "addr", "add", f"{address}/24", "dev", "ga-ca")
        yield made


@pytest.fixture(scope="module")
def gateway(world):
    text = gateway_text(world).replace("accept_eap\n", f"accept_eap\naccept_certificate\nclient_ca {world.folder}/acme-ecdsa.pem\n")
    return world.gateway(text)


@pytest.fixture(scope="module")
def pluto(world, gateway):  # pylint: disable=unused-argument
    connections = [("ecdsa", "alice-acme", "modern", ""), ("rsa", "bob-rsa", "modern", ""), ("strong", "alice-acme", "certified", "ike=aes_gcm256-sha2_384;dh20\n\tesp=aes_gcm256"),
                   ("weak", "alice-acme", "modern", "ike=aes256-sha1;modp2048")]
    text = "".join(CONNECTION.format(name=name, certificate=certificate, key="rsasig" if "rsa" in name else "ecdsa", gateway=PLACES[place], more=more) for name, certificate, place, more in connections)
    made = Pluto(world, world.folder / "pluto", text)
    yield made
    made.stop()


@pytest.mark.parametrize("name, user, place", [("ecdsa", "alice@example.test", "modern"), ("rsa", "bob@example.test", "modern"),
                                               ("strong", "alice@example.test", "certified")])
def test_libreswan_comes_in_by_certificate(gateway, pluto, name, user, place):
    pluto.clear()
    pluto.add(name)
    done = pluto.whack("--initiate", "--name", name, "--asynchronous")
    try:
        up = gateway.event("up", gateway=f"{place} certificate", seconds=20)
    except AssertionError as failure:
        raise AssertionError(f"{failure}\n{done.stdout}\n{pluto.text()}") from None
    assert up["user"] == user and up["leases"][0].startswith("10.99.0.")
    assert up["ike_suite"].startswith("AES_GCM_16_256/") and up["esp_suite"].startswith("AES_GCM_16_256/"), up
    wait_until(lambda: f"received INTERNAL_IP4_ADDRESS {up['leases'][0]}" in pluto.text(), 5, "libreswan taking the answer")
    said = pluto.text()
    assert "initiator established IKE SA; authenticated peer '2048-bit PKCS#1 1.5 RSA with SHA2_256'" in said and "'@gw.acme.test'" in said
    assert "received INTERNAL_IP4_DNS 10.20.0.53" in said and "Received INTERNAL_DNS_DOMAIN: corp.acme.test" in said
    # Whether the CHILD_SA lives is the kernel's business: where there is no ESP, libreswan drops it without a word to us.
    gateway.ask("terminate", up["session"])
    assert gateway.event("down", session=up["session"], seconds=20)["cause"] in ("user", "admin")
    pluto.whack("--terminate", "--name", name)
    pluto.whack("--delete", "--name", name)


def test_libreswan_with_weak_algorithms_is_refused_and_told(gateway, pluto):
    pluto.clear()
    pluto.add("weak")
    pluto.whack("--initiate", "--name", "weak", "--asynchronous")
    denied = gateway.event("denied", seconds=20)
    assert denied["cause"] == "crypto" and "HMAC_SHA1_96" in denied["offered"]
    wait_until(lambda: "NO_PROPOSAL_CHOSEN" in pluto.text(), 5, "libreswan being told")
    pluto.whack("--terminate", "--name", "weak")


V1 = """
conn l2tp
	ikev2=no
	authby=secret
	type=transport
	left=192.0.2.10
	leftprotoport=17/1701
	right={gateway}
	rightprotoport=17/1701
	ike=aes256-sha2_256;modp2048
	esp=aes256-sha2_256
	pfs=no
	rekey=no
"""


def test_libreswan_proves_itself_by_ikev1_and_asks_for_l2tp(world, tmp_path_factory):
    """Up to the answer of quick mode: where the kernel has no ESP, libreswan goes no further."""
    address, psk = "192.0.2.7", "the-key-libreswan-has"
    run("ip", "-n", world.name("gb"), "addr", "add", f"{address}/24", "dev", "gb-cb")
    gateway = world.gateway(f"ike_version 1\nlisten 9 7 {world.name('gb')} {address}\nretransmit 2 0.4\nhalf_open 4\npeer_psk 9 {b'another-key'.hex()}\n"
                            f"peer_psk 9 {psk.encode().hex()}\ngateway 9 old\nidentity gw.acme.test\nprofile modern\naddress {address}\naccept_psk\nl2tp\n")
    pluto = Pluto(world, tmp_path_factory.mktemp("pluto") / "v1", V1.format(gateway=address), secrets=f'192.0.2.10 {address} : PSK "{psk}"\n', namespace="cb")
    try:
        pluto.add("l2tp")
        done = pluto.whack("--initiate", "--name", "l2tp", "--asynchronous")
        try:
            gateway.event("auth_ok", seconds=20)
            wait_until(lambda: "IKE SA established" in pluto.text() or "ISAKMP SA established" in pluto.text(), 5, "libreswan believing us")
            wait_until(lambda: "Add SA esp" in pluto.text() or "IPsec SA established" in pluto.text(), 5, "libreswan taking our answer to quick mode")
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{done.stdout}\n{pluto.text()}") from None
        assert f"Peer ID is ID_IPV4_ADDR: '{address}'" in pluto.text()
    finally:
        pluto.stop()
