# SPDX-License-Identifier: Apache-2.0
"""strongSwan's own conformance tester (src/conftest of its source) as a peer that is wrong in one thing at a time: its hooks mangle what its
charon sends. Built here from Debian's source archive, like the load-tester of tests/bench/ike.py. What RFC 7296 says must be ignored lets the user
in, everything else does not, and whoever comes next is served by the same process."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from certificate_world import Mint
from ike_world import GATEWAY4, PLUGINS, PROGRAM, World, nt_hash, run
from lab.system import wait_until
from lab.topology import TREE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")

def build(folder):
    """The tester; it asks for an address, which the one that is published does not."""
    source = Path(run(TREE / "tools/debian-source", "strongswan").stdout.strip())
    tester = folder / "conftest"
    shutil.copytree(source / "src/conftest", tester)
    config = tester / "config.c"
    before = '\tDBG1(DBG_CFG, "loaded config'
    text = config.read_text()
    assert text.count(before) == 1
    config.write_text(text.replace(before, "\tpeer_cfg->add_virtual_ip(peer_cfg, host_create_any(AF_INET));\n" + before))
    plugins = " ".join(one for one in PLUGINS.split() if one != "vici")
    run("gcc", "-O1", "-w", "-rdynamic", "-include", TREE / "vpn/ike/config.h", "-D_GNU_SOURCE", '-DIPSEC_PIDDIR="/run"', f'-DPLUGINS="{plugins}"',
        f"-I{source / 'src/libstrongswan'}", f"-I{source / 'src/libcharon'}", f"-I{tester}", *sorted(tester.glob("*.c")), *sorted(tester.glob("hooks/*.c")),
        "-L/usr/lib/ipsec", "-Wl,-rpath,/usr/lib/ipsec", "-lcharon", "-lstrongswan", "-o", folder / "tester")
    return folder / "tester"


def gateway_text(world):
    folder = world.folder
    lines = [f"listen 1 7 {world.name('ga')} {GATEWAY4}", "retransmit 2 0.4", "half_open 8", f"user 1 alice {nt_hash('acme-pw')}", f"user 1 bob {nt_hash('bob-pw')}"]
    lines += [f"pool 1 10.99.0.{number}" for number in range(10, 90)]
    lines += ["gateway 1 acme", "identity gw.acme.test", "profile modern", f"address {GATEWAY4}", "accept_certificate", f"client_ca {folder}/root.pem",
              "network 10.20.0.0/16", f"certificate {folder}/gw-acme-ecdsa.pem", f"key {folder}/gw-acme-ecdsa.key", f"gateway_ca {folder}/acme-ecdsa.pem"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        made.mint = Mint(made.folder)
        made.mint.ca("root")
        made.mint.ca("strange")
        made.mint.user("alice", "root")
        made.mint.user("stranger", "strange", mail="alice@example.test")
        made.tester = build(made.folder)
        yield made


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway(gateway_text(world))


@pytest.fixture(autouse=True)
def balance(gateway):
    yield
    for line in gateway.ask("sessions"):
        gateway.ask("terminate", line.split()[0])
        gateway.event("down", session=int(line.split()[0]))
    gateway.events.clear()


class Peer:
    """`with Peer(world, hooks) as tester`: one run of it. It initiates at once."""

    def __init__(self, world, hooks="", *, actions="", keys="alice", identity="alice@example.test"):
        self.folder = world.folder / f"tester{len(list(world.folder.glob('tester*')))}"
        self.folder.mkdir()
        own = world.folder
        patience = "{ retransmit_tries = 1\n retransmit_timeout = 0.7\n retransmit_base = 1 }"
        (self.folder / "strongswan.conf").write_text(f"charon {patience}\nconftest {patience}\n")
        (self.folder / "suite.conf").write_text(f"""
certs {{
  trusted {{
    x509-gateway = {own}/acme-ecdsa.pem
  }}
  untrusted {{
    x509-me = {own}/{keys}.pem
    x509-pretended = {own}/gw-acme-ecdsa.pem
  }}
}}
keys {{
  ecdsa-me = {own}/{keys}.key
  ecdsa-pretended = {own}/gw-acme-ecdsa.key
}}
configs {{
  acme {{
    lhost = 192.0.2.10
    rhost = {GATEWAY4}
    lid = {identity}
    rid = gw.acme.test
    proposal = aes256gcm16-prfsha384-ecp256
    tunnel {{
      lts = 0.0.0.0/0
      rts = 10.20.0.0/16
      proposal = aes256gcm16
    }}
  }}
}}
""")
        (self.folder / "test.conf").write_text(f"actions {{\n initiate {{\n config = tunnel\n }}\n{actions}\n}}\nhooks {{\n{hooks}\n}}\n")
        self._argv = ["ip", "netns", "exec", world.name("ca"), "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
                      f"mount -t tmpfs tmpfs /run && exec stdbuf -oL {world.tester} --suite {self.folder}/suite.conf --test {self.folder}/test.conf"]

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                             env={**os.environ, "STRONGSWAN_CONF": str(self.folder / "strongswan.conf")})
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def says(self, expression, seconds=15):
        wait_until(lambda: re.search(expression, self.log()) or self._process.poll() is not None, seconds, f"the tester saying {expression}: {self.log()[-3000:]}")
        assert re.search(expression, self.log()), self.log()[-3000:]


def hook(name, message=1, **options):
    return f"{name} {{\n request = yes\n id = {message}\n" + "".join(f" {key} = {value}\n" for key, value in options.items()) + "}"


def reserved(payload, **options):
    return f"set_reserved {{\n request = yes\n id = 1\n {payload} {{\n" + "".join(f" {key} = {value}\n" for key, value in options.items()) + "}\n}"


HARMLESS = {
    "nothing": "",
    "critical-though-known": hook("set_critical", payloads="IDi AUTH SA TSi TSr"),
    "unknown-payload-first": hook("add_payload-odd", 0, type=200, data="0xdeadbeef"),
    "unknown-payload-proven": hook("add_payload-odd", type=200, data="0xdeadbeef"),
    "reserved-bits-of-auth": reserved("AUTH", bytes="1,2,3", byteval=255),
    "another-order": hook("unsort_message", order="TSr TSi SA AUTH IDr CERT IDi"),
    "minor-version": hook("set_ike_version", 0, major=2, minor=15),
    "notify-unknown": hook("add_notify", type=40000, data="0x0102"),
    "long-certificate": hook("ike_auth_fill", bytes=3000),
}


@pytest.mark.parametrize("hooks", HARMLESS.values(), ids=HARMLESS)
def test_what_must_be_ignored_lets_the_user_in(world, gateway, hooks):
    with Peer(world, hooks) as tester:
        assert gateway.event("up")["user"] == "alice@example.test", tester.log()
        tester.says("established between|CHILD_SA tunnel")


UNKNOWN_ALGORITHM = "custom_proposal {\n request = yes\n id = 0\n 1 {\n ENCRYPTION_ALGORITHM = 65000\n PSEUDO_RANDOM_FUNCTION = 65001\n KEY_EXCHANGE_METHOD = 19\n}\n}"

HARMFUL = {
    "critical-and-unknown-first": (hook("add_payload-odd", 0, type=200, critical="yes", data="0xdeadbeef"), "UNSUPPORTED_CRITICAL_PAYLOAD|giving up"),
    "critical-and-unknown-proven": (hook("add_payload-odd", type=200, critical="yes", data="0xdeadbeef"), "UNSUPPORTED_CRITICAL_PAYLOAD|giving up"),
    "major-version": (hook("set_ike_version", 0, major=3), "INVALID_MAJOR_VERSION|giving up"),
    "no-initiator": (hook("set_ike_initiator", 0), "giving up"),
    "response-to-nothing": (hook("set_ike_request", 0), "giving up"),
    "spi-of-zero": (hook("set_ike_spi", 0, spii=0, spir=0), "giving up"),
    "spi-of-another": (hook("set_ike_spi", 1, spii=1234, spir=4711), "giving up"),
    "sa-too-long": (hook("set_length", 0, type="SA", diff=1), "giving up|INVALID_SYNTAX"),
    "sa-too-short": (hook("set_length", 0, type="SA", diff=-1), "giving up|INVALID_SYNTAX"),
    "ke-too-long": (hook("set_length", 0, type="KE", diff=4), "giving up|INVALID_SYNTAX"),
    "nonce-too-short": (hook("set_length", 0, type="No", diff=-30), "giving up|INVALID_SYNTAX"),
    "id-too-short": (hook("set_length", type="IDi", diff=-3), "giving up|INVALID_SYNTAX|AUTHENTICATION_FAILED"),
    "auth-too-long": (hook("set_length", type="AUTH", diff=1), "giving up|INVALID_SYNTAX|AUTHENTICATION_FAILED"),
    "id-not-as-signed": (reserved("IDi", bytes="1,2,3", byteval=255), "AUTHENTICATION_FAILED"),  # RFC 7296 2.15: its reserved bytes are signed
    "unknown-algorithms": (UNKNOWN_ALGORITHM, "NO_PROPOSAL_CHOSEN"),
}


@pytest.mark.parametrize("hooks, answer", HARMFUL.values(), ids=HARMFUL)
def test_what_is_wrong_lets_nobody_in(world, gateway, hooks, answer):
    with Peer(world, hooks) as tester:
        tester.says(answer)
        assert gateway.ask("sessions") == [], tester.log()


def test_another_identity_over_ones_own_key_is_refused(world, gateway):
    with Peer(world, identity="bob@example.test", hooks="rebuild_auth {\n key = alice@example.test\n}") as tester:
        tester.says("AUTHENTICATION_FAILED|giving up|no private key found")
        assert gateway.ask("sessions") == []


def test_who_goes_on_as_if_he_were_let_in_is_not(world, gateway):
    """The hook makes an answer of its own out of the refusal, so that its charon takes the IKE_SA for established and asks for more."""
    with Peer(world, "pretend_auth {\n}", keys="stranger", actions="rekey_child {\n config = tunnel\n delay = 1\n}") as tester:
        assert gateway.event("auth_fail")
        tester.says("CHILD_SA tunnel.* established")
        tester.says("giving up after 1 retransmits")
        assert gateway.ask("sessions") == []


@pytest.mark.parametrize("notify", ["AUTHENTICATION_FAILED", "INVALID_SYNTAX", "INVALID_IKE_SPI"])
def test_a_notify_in_clear_ends_no_session(world, gateway, notify):
    with Peer(world, f"unencrypted_notify {{\n id = 2\n type = {notify}\n}}", actions="liveness {\n config = acme\n delay = 2\n}") as tester:
        session = gateway.event("up")["session"]
        tester.says("injecting unencrypted INFORMATIONAL")
        tester.says(r"parsed INFORMATIONAL response")  # of the liveness check that came after it
        assert [line.split()[0] for line in gateway.ask("sessions")] == [str(session)]


def test_whoever_comes_after_all_of_them_is_served_by_the_same_process(world, gateway):
    with Peer(world):
        assert gateway.event("up")["user"] == "alice@example.test"
    assert gateway.process.poll() is None
