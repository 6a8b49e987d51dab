#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a login costs: IKE_SA set-ups beside stock charon, memory of a session, 10,000 sessions held and listed, everybody back after a kill.

  tests/bench/ike.py [--sessions N] [--way eap|certificate|both]

The initiator is stock charon with its own load-tester plugin, built here from Debian's source archive (the binary packages have none). It
meets, in turns, iked (with logd, a data plane on UDP sockets and a controld that knows one thing: tests/support/ike_dataplane.cc), and stock
charon as responder with the same certificates, algorithms and users. Only the responder's processor time and resident memory count: the
initiator shares the machine. Needs root and the release build of iked, logd and ike_dataplane."""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "board")]
os.environ.setdefault("SEKISHO_IKE_GATEWAY", str(ROOT / "build/release/tests/ike_gateway"))

import iked_test  # noqa: E402
import ike_world  # noqa: E402
from iked_test import packed, prefix, raw  # noqa: E402
from ike_world import GATEWAY4, Client, World, nt_hash, run  # noqa: E402
from lab.system import wait_until  # noqa: E402

IKE, ESP = "aes256gcm16-prfsha384-ecp256", "aes256gcm16-noesn"
PASSWORD = "a load tester's"
PLUGINS = "/usr/lib/ipsec/plugins"
TICKS = os.sysconf("SC_CLK_TCK")
WARM = 800  # logins before those that count: what each thread keeps for itself is there then, and no session's


def build_plugins(folder):
    """A folder of all plugins, the load-tester among them."""
    source = Path(run(ROOT / "tools/debian-source", "strongswan").stdout.strip())
    shutil.copytree(PLUGINS, folder)
    tester = source / "src/libcharon/plugins/load_tester"
    run("gcc", "-O2", "-shared", "-fPIC", "-w", "-include", ROOT / "vpn/ike/config.h", "-D_GNU_SOURCE", '-DIPSEC_PIDDIR="/run"',
        f"-I{source / 'src/libstrongswan'}", f"-I{source / 'src/libcharon'}",
        *sorted(one for one in tester.glob("load_tester_*.c")), "-L/usr/lib/ipsec", "-lcharon", "-lstrongswan",
        "-o", folder / "libstrongswan-load-tester.so")
    return folder


def tester_conf(folder, **more):
    values = {"enable": "yes", "fake_kernel": "yes", "socket": f"unix://{folder}/ldt", "eap_password": PASSWORD, **more}
    return "load-tester {\n" + "".join(f"{name} = {value}\n" for name, value in values.items()) + "}\n"


class Charon(Client):
    """Stock charon with the load-tester: as initiator, or as the responder to compare with."""

    def __init__(self, world, namespace, name, plugins, tester):
        folder = world.folder / name
        folder.mkdir()
        self.plugins = plugins
        before = ike_world.PLUGINS, ike_world.CHARON
        ike_world.PLUGINS = ("load-tester random nonce openssl pem x509 pubkey pkcs1 pkcs8 constraints kdf eap-identity eap-mschapv2 "
                             "kernel-netlink socket-default vici")
        ike_world.CHARON = f"sh -c 'mount --bind {plugins} {PLUGINS} && exec /usr/lib/ipsec/charon'"
        try:
            super().__init__(world.name(namespace), folder, self.settings(tester_conf(folder, **tester)))
        except BaseException:
            print((folder / "charon.log").read_text() if (folder / "charon.log").exists() else "no log", file=sys.stderr)
            raise
        finally:
            ike_world.PLUGINS, ike_world.CHARON = before
        world.parts.append(self)

    @staticmethod
    def settings(tester):
        return ("init_limit_half_open = 0\n  cookie_threshold = 0\n  cookie_threshold_ip = 0\n  install_virtual_ip = no\n  install_routes = no\n  block_threshold = 0\n  half_open_timeout = 60\n  reuse_ikesa = no\n"
                "  ikesa_table_size = 16384\n  ikesa_table_segments = 64\n"
                f"  plugins {{\n    {tester}  }}\n")

    def initiate(self, count, delay):
        """How many of `count` logins, begun `delay` milliseconds apart, stood; and how long all took."""
        with socket.socket(socket.AF_UNIX) as tester:
            tester.connect(str(self.folder / "ldt"))
            begun = time.monotonic()
            tester.sendall(f"{count} {delay}\n".encode())
            progress = b""
            while block := tester.recv(65536):
                progress += block
        return progress.count(b"+"), time.monotonic() - begun


def usage(pid):
    """(processor seconds, resident kB) of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    return (int(fields[11]) + int(fields[12])) / TICKS, int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def main_process(pid):
    """The charon below `unshare` and `sh`."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return main_process(int(children[0])) if children else pid


def tester_options(world, way):
    # It issues a certificate to each of its users, by an RSA key.
    issuer = {"issuer_cert": world.pki.path("acme-rsa.pem"), "issuer_key": world.pki.path("acme-rsa.key"), "digest": "sha256"}
    return {**(issuer if way == "certificate" else {}), "responder": GATEWAY4, "initiator_auth": "eap-mschapv2" if way == "eap" else "pubkey", "responder_auth": "pubkey",
            "responder_id": "gw.acme.test", "proposal": IKE, "esp": ESP, "request_virtual_ip": "yes", "version": 2, "child_rekey": 0,
            "initiator_tsr": "10.20.0.0/16", "ike_rekey": 0}


class ProductSite(iked_test.Site):
    usage_seconds = 3600  # as iked has it by itself


def users_of(way, sessions):
    # As load_tester_config.c names them: conn number from 1, round 1.
    return [f"1{number:010d}0001@strongswan.org" for number in range(1, sessions + WARM + 1)] if way == "eap" else []


def plan(site, way, sessions):
    site.plan = site.first_plan()
    tenant = site.plan["tenants"][0]
    hashed = raw(bytes.fromhex(nt_hash(PASSWORD)))
    tenant["users"] = [{"id": number, "name": name, "ntHash": hashed, "groups": ["staff"]}
                       for number, name in enumerate(users_of(way, sessions), 1)]
    tenant["pools"][0]["ranges"] = [{"first": packed("10.99.0.1"), "last": packed("10.99.255.254")}]
    tenant["gateways"] = tenant["gateways"][:1]
    tenant["gateways"][0].update(networks=[prefix("10.20.0.0/16")], clientCas=[site.world.pki.path("acme-rsa.pem").read_text()], defaultGroup="staff", dpdSeconds=3600)
    site.apply()


def ours(world, way, sessions, plugins, delay):
    site = ProductSite(world)
    plan(site, way, sessions)
    tester = Charon(world, "ca", f"tester-{way}", plugins, tester_options(world, way))
    shutil.copy(world.pki.path("acme-ecdsa.pem"), tester.folder / "x509ca")
    tester.swanctl("--load-creds", "--noprompt", check=False)
    pid = site.processes["iked"].pid
    warm, _ = tester.initiate(WARM, delay)
    cpu0, rss0 = usage(pid)
    good, wall = tester.initiate(sessions, delay)
    cpu1, rss1 = usage(pid)
    begun = time.monotonic()
    listed = len(site.wires.ask("sessions")) - 1
    out = {"stood": good, "of": sessions, "wall_s": round(wall, 2), "cpu_ms_each": round(1000 * (cpu1 - cpu0) / max(good, 1), 3),
           "kB_each": round((rss1 - rss0) / max(good, 1), 2), "listed": listed, "list_ms": round(1000 * (time.monotonic() - begun), 1), "warm": warm}
    begun = time.monotonic()
    wait_until(lambda: sum(one["event"] == "up" for one in site.records()) >= warm + good, 300, "a record of each login", every=0.2)
    out["logged_s"] = round(time.monotonic() - begun, 2)
    # Everybody's keying daemon is killed; all come again, as clients do that find out.
    site.end("iked", signal.SIGKILL)
    tester.stop()
    begun = time.monotonic()
    site.start("iked")
    site.apply()
    out["ready_s"] = round(time.monotonic() - begun, 2)
    again = Charon(world, "ca", f"again-{way}", plugins, tester_options(world, way))
    shutil.copy(world.pki.path("acme-ecdsa.pem"), again.folder / "x509ca")
    again.swanctl("--load-creds", "--noprompt", check=False)
    back, seconds = again.initiate(sessions, delay)
    out.update(back=back, back_s=round(seconds, 2))
    again.stop()
    site.stop()
    world.parts = [one for one in world.parts if one not in (site, tester, again)]
    shutil.rmtree(site.root)
    return out


def stock(world, way, sessions, plugins, delay):
    responder = Charon(world, "ga", f"stock-{way}", plugins, {"eap_password": PASSWORD})
    for name, place in (("gw-acme-ecdsa.pem", "x509"), ("gw-acme-ecdsa.key", "private"), ("acme-ecdsa.pem", "x509ca"),
                        ("acme-rsa.pem", "x509ca")):
        shutil.copy(world.pki.path(name), responder.folder / place)
    remote = "auth = eap-mschapv2\n eap_id = %any" if way == "eap" else "auth = pubkey"
    responder.load(f"""connections {{ gw {{ version = 2
 proposals = {IKE}
 unique = never
 pools = p
 local {{ auth = pubkey
 certs = gw-acme-ecdsa.pem
 id = gw.acme.test }}
 remote {{ {remote} }}
 children {{ c {{ local_ts = 10.20.0.0/16
 esp_proposals = {ESP} }} }} }} }}
pools {{ p {{ addrs = 10.99.0.0/16 }} }}
""")
    tester = Charon(world, "ca", f"stock-tester-{way}", plugins, tester_options(world, way))
    shutil.copy(world.pki.path("acme-ecdsa.pem"), tester.folder / "x509ca")
    tester.swanctl("--load-creds", "--noprompt", check=False)
    pid = main_process(responder.process.pid)
    tester.initiate(WARM, delay)
    cpu0, rss0 = usage(pid)
    good, wall = tester.initiate(sessions, delay)
    cpu1, rss1 = usage(pid)
    for one in (tester, responder):
        one.stop()
        world.parts.remove(one)
    return {"stood": good, "of": sessions, "wall_s": round(wall, 2), "cpu_ms_each": round(1000 * (cpu1 - cpu0) / max(good, 1), 3),
            "kB_each": round((rss1 - rss0) / max(good, 1), 2)}


def measure(sessions, ways, delay):
    iked_test.DATAPLANE = ike_world.PROGRAM.parent / "ike_dataplane"
    results = {}
    with World() as world:
        run("ip", "-n", world.name("ga"), "addr", "add", f"{iked_test.OSAKA}/24", "dev", "ga-ca")
        plugins = build_plugins(world.folder / "plugins")
        for way in ways:
            results[way] = {"iked": ours(world, way, sessions, plugins, delay), "charon": stock(world, way, sessions, plugins, delay)}
            print(json.dumps({way: results[way]}), flush=True)
    return results


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--sessions", type=int, default=10000)
    options.add_argument("--way", choices=("eap", "certificate", "both"), default="eap")
    options.add_argument("--delay", type=int, default=3, help="milliseconds between the beginnings of two logins")
    asked = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: network namespaces")
    results = measure(asked.sessions, ("eap", "certificate") if asked.way == "both" else (asked.way,), asked.delay)
    for way, pair in results.items():
        print(f"{way}: a login costs iked {pair['iked']['cpu_ms_each']} ms of processor time, charon {pair['charon']['cpu_ms_each']} ms; "
              f"a session {pair['iked']['kB_each']} kB, charon {pair['charon']['kB_each']} kB")
        print(f"  {pair['iked']['listed']} sessions listed in {pair['iked']['list_ms']} ms; all in the log {pair['iked']['logged_s']} s later; "
              f"after a kill {pair['iked']['back']} of {pair['iked']['of']} back in {pair['iked']['back_s']} s")


if __name__ == "__main__":
    main()
