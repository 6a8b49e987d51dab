# SPDX-License-Identifier: Apache-2.0
"""Two tenants with one gateway address, each with a client network of its own; our engine on one side, stock strongSwan on the other.

  acme:    gateway namespace -- wire -- client namespace (192.0.2.10, 192.0.2.11) -- wire -- a client behind its NAT
  globex:  gateway namespace -- wire -- client namespace (192.0.2.10): the same addresses
"""

import json
import os
import queue
import select
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from lab.system import wait_until

TREE = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("SEKISHO_IKE_GATEWAY", TREE / "build/release/tests/ike_gateway"))
GATEWAY4, GATEWAY6 = "192.0.2.1", "2001:db8:2::1"
CHARON = "/usr/lib/ipsec/charon"
PLUGINS = ("random nonce openssl pem x509 pubkey pkcs1 pkcs8 revocation constraints kdf eap-identity eap-mschapv2 "
           "kernel-libipsec kernel-netlink socket-default vici updown")


def run(*argv, check=True, **more):
    return subprocess.run([str(word) for word in argv], check=check, capture_output=True, text=True, **more)


def nt_hash(password):
    return subprocess.run(["openssl", "dgst", "-provider", "legacy", "-provider", "default", "-md4", "-r"], input=password.encode("utf-16-le"),
                          capture_output=True, check=True).stdout.split()[0].decode()


class Pki:
    """Keys and certificates, made by the openssl tool."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return self.folder / name

    def key(self, name, kind):
        options = {"rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                   "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}[kind]
        run("openssl", "genpkey", *options, "-out", self.path(f"{name}.key"))

    def ca(self, name, kind):
        self.key(name, kind)
        run("openssl", "req", "-x509", "-new", "-key", self.path(f"{name}.key"), "-subj", f"/O=Test/CN={name}", "-days", "30",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.path(f"{name}.pem"))

    def certificate(self, name, kind, ca, san, *, expired=False):
        self.key(name, kind)
        run("openssl", "req", "-new", "-key", self.path(f"{name}.key"), "-subj", f"/O=Test/CN={name}", "-out", self.path(f"{name}.csr"))
        extensions = self.path(f"{name}.ext")
        extensions.write_text(f"subjectAltName={san}\nauthorityKeyIdentifier=keyid\nextendedKeyUsage=serverAuth,clientAuth\n")
        if expired:  # `openssl x509` of version 3.0 knows no dates: the ca command does
            return self._by_ca_command(name, ca, extensions)
        run("openssl", "x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{ca}.pem"), "-CAkey", self.path(f"{ca}.key"),
            "-CAcreateserial", "-days", "20", "-extfile", extensions, "-out", self.path(f"{name}.pem"))

    def _ca_command(self, ca, *argv):
        config = self.path(f"{ca}.cnf")
        database = self.path(f"{ca}.db")
        if not config.exists():
            config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\nnew_certs_dir={self.folder}\ndefault_md=sha256\n"
                              f"rand_serial=yes\npolicy=p\nunique_subject=no\ndefault_crl_days=20\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n[p]\nO=optional\nCN=supplied\n")
            database.write_text("")
        run("openssl", "ca", "-batch", "-config", config, "-cert", self.path(f"{ca}.pem"), "-keyfile", self.path(f"{ca}.key"), *argv)

    def _by_ca_command(self, name, ca, extensions):
        self._ca_command(ca, "-startdate", "20190101000000Z", "-enddate", "20200101000000Z", "-notext", "-extfile", extensions,
                         "-in", self.path(f"{name}.csr"), "-out", self.path(f"{name}.pem"))

    def revoke(self, name, ca):
        """Revokes and writes CA.crl."""
        self._ca_command(ca, "-revoke", self.path(f"{name}.pem"))
        self._ca_command(ca, "-gencrl", "-out", self.path(f"{ca}.crl"))


class Gateway:
    """Our engine as a process; its lines, in order."""

    def __init__(self, *argv):
        self.process = subprocess.Popen([str(part) for part in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.events, self.log = queue.Queue(), [], []
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.answer("ready")
        except BaseException:
            self.process.kill()
            raise

    def _read(self):
        for line in self.process.stdout:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                self.lines.put({"log": line.rstrip()})
        self.lines.put(None)

    def _next(self, deadline):
        try:
            item = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError("nothing more came; log:\n" + "\n".join(self.log[-30:]) + f"\nevents: {self.events}") from None
        assert item is not None, "the gateway ended:\n" + "\n".join(self.log[-30:])
        assert "fatal" not in item, item
        if "event" in item:
            self.events.append(item)
        if "log" in item:
            self.log.append(item["log"])
        return item

    def answer(self, word, seconds=10):
        deadline = time.monotonic() + seconds
        while True:
            item = self._next(deadline)
            if item.get("answer") == word:
                return item["lines"]

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return self.answer(words[0])

    def event(self, kind, seconds=12, **wanted):
        """The next event that fits and was not taken yet; earlier ones that do not fit stay."""
        deadline = time.monotonic() + seconds
        while True:
            for item in self.events:
                if not item.get("taken") and item["event"] == kind and all(item[name] == value for name, value in wanted.items()):
                    item["taken"] = True
                    return item
            self._next(deadline)

    def untaken(self):
        """Events nobody asked for, of those that end an attempt or a session."""
        self.ask("sessions")
        left = [item for item in self.events if not item.get("taken") and item["event"] in ("up", "auth_fail", "denied", "down")]
        self.events.clear()
        return left

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Client:
    """A stock charon in a namespace, with a /run of its own."""

    def __init__(self, namespace, folder, extra=""):
        self.namespace, self.folder = namespace, folder
        for name in ("x509", "x509ca", "private"):
            (folder / name).mkdir(parents=True)
        self.socket = folder / "vici"
        self.conf = folder / "strongswan.conf"
        self.conf.write_text(f"""charon {{
  load = {PLUGINS}
  threads = 64
  retransmit_tries = 3
  retransmit_timeout = 1
  {extra}
  plugins {{
    vici {{
      socket = unix://{self.socket}
    }}
  }}
  filelog {{
    log {{
      path = {folder}/charon.log
      default = 1
      flush_line = yes
    }}
  }}
}}
""")
        script = f"mount -t tmpfs tmpfs /run && exec {CHARON}"
        self.process = subprocess.Popen(["ip", "netns", "exec", namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
                                        env={**os.environ, "STRONGSWAN_CONF": str(self.conf)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # No event says that it listens: its socket is asked until it answers.
        wait_until(lambda: self.process.poll() is not None or (self.socket.exists() and self.swanctl("--stats", check=False).returncode == 0), 15,
                   "charon of the client answering", every=0.05)
        assert self.process.poll() is None, "charon of the client ended"

    def swanctl(self, *argv, check=True):
        return run("swanctl", argv[0], "--uri", f"unix://{self.socket}", *argv[1:], check=check,
                   env={**os.environ, "SWANCTL_DIR": str(self.folder), "STRONGSWAN_CONF": str(self.conf)}, timeout=40)

    def load(self, text):
        (self.folder / "swanctl.conf").write_text(text)
        self.swanctl("--load-all", "--clear", "--noprompt", "--file", self.folder / "swanctl.conf")

    def connect(self, child, seconds=15):
        """True when the client says that the CHILD_SA stands."""
        done = self.swanctl("--initiate", "--child", child, "--timeout", seconds, check=False)
        self.last = done.stdout + done.stderr
        return done.returncode == 0

    def forget(self, ike):
        """Ends an IKE_SA without waiting for an answer."""
        self.swanctl("--terminate", "--ike", ike, "--force", "--timeout", 1, check=False)
        wait_until(lambda: self.spis() == [], 5, "the client forgetting")

    def disconnect(self, ike):
        self.swanctl("--terminate", "--ike", ike, "--timeout", 5, check=False)

    def spis(self):
        """[(spi-in, spi-out)] of installed CHILD_SAs, as numbers in hex without leading zeros."""
        raw = self.swanctl("--list-sas", "--raw").stdout
        return [(spi_in.lstrip("0"), spi_out.lstrip("0"))
                for state, spi_in, spi_out in re.findall(r"state=(\w+) mode=TUNNEL.*?spi-in=(\w+) spi-out=(\w+)", raw) if state == "INSTALLED"]

    def ping(self, address, count=1, check=True):
        done = run("ip", "netns", "exec", self.namespace, "ping", "-c", count, "-i", "0.2", "-W", "3", address, check=False)
        if check:
            assert done.returncode == 0, done.stdout + self.log()
        return done.returncode == 0

    def log(self):
        path = self.folder / "charon.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-40:]) if path.exists() else ""

    def stop(self):
        if self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            ends = [os.pidfd_open(int(child)) for child in children]
            self.process.kill()  # unshare; --kill-child takes charon with it, which may have much to give back
            for end in ends:
                select.select([end], [], [], 10)
                os.close(end)
        self.process.wait()


class World:
    """Namespaces, keys and the folder they live in; everything goes at the end, also after a failure."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sekisho-ike-"))
        os.chmod(self.folder, 0o755)
        self.prefix = f"ike{os.getpid()}"
        self.namespaces, self.parts = [], []
        self.pki = Pki(self.folder)

    def __enter__(self):
        try:
            self._make_namespaces()
            self._make_keys()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def name(self, part):
        return f"{self.prefix}{part}"

    def _inside(self, namespace, *argv):
        run("ip", "netns", "exec", self.name(namespace), *argv)

    def _wire(self, left, right, left_addresses, right_addresses):
        a, b = f"{left}-{right}", f"{right}-{left}"
        run("ip", "-n", self.name(left), "link", "add", a, "type", "veth", "peer", "name", b, "netns", self.name(right))
        for namespace, device, addresses in ((left, a, left_addresses), (right, b, right_addresses)):
            for address in addresses:
                run("ip", "-n", self.name(namespace), "addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
            run("ip", "-n", self.name(namespace), "link", "set", device, "up")

    def _make_namespaces(self):
        for part in ("ga", "ca", "na", "gb", "cb"):
            run("ip", "netns", "add", self.name(part))
            self.namespaces.append(self.name(part))
            run("ip", "-n", self.name(part), "link", "set", "lo", "up")
        for gateway, client in (("ga", "ca"), ("gb", "cb")):
            self._wire(gateway, client, [f"{GATEWAY4}/24", f"{GATEWAY6}/64"], ["192.0.2.10/24", "192.0.2.11/24", "2001:db8:2::10/64"])
        self._wire("ca", "na", ["10.5.0.1/24"], ["10.5.0.2/24"])
        run("ip", "-n", self.name("na"), "route", "add", "default", "via", "10.5.0.1")
        self._inside("ca", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._inside("ca", "nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; "
                                  "add rule ip nat out ip saddr 10.5.0.0/24 masquerade random")

    def _make_keys(self):
        pki = self.pki
        for tenant in ("acme", "globex"):
            pki.ca(f"{tenant}-ecdsa", "ecdsa")
            pki.certificate(f"gw-{tenant}-ecdsa", "ecdsa", f"{tenant}-ecdsa", f"DNS:gw.{tenant}.test")
            pki.certificate(f"alice-{tenant}", "ecdsa", f"{tenant}-ecdsa", "email:alice@example.test")
        pki.ca("acme-rsa", "rsa")
        pki.certificate("gw-acme-rsa", "rsa", "acme-rsa", "DNS:gw.acme.test")
        pki.certificate("bob-rsa", "rsa", "acme-ecdsa", "email:bob@example.test")
        pki.certificate("expired", "ecdsa", "acme-ecdsa", "email:old@example.test", expired=True)
        pki.certificate("revoked", "ecdsa", "acme-ecdsa", "email:gone@example.test")
        pki.revoke("revoked", "acme-ecdsa")
        for path in self.folder.glob("*.key"):
            path.chmod(0o644)  # the engine reads them before it gives up root; the clients' copies are test keys

    def gateway(self, text):
        config = self.folder / f"gateway{len(self.parts)}.conf"
        config.write_text(text)
        made = Gateway(PROGRAM, config)
        self.parts.append(made)
        return made

    def client(self, namespace, *, authorities, keys=(), extra=""):
        folder = self.folder / f"client{len(self.parts)}"
        folder.mkdir()
        made = Client(self.name(namespace), folder, extra)
        for name in authorities:
            shutil.copy(self.pki.path(f"{name}.pem"), folder / "x509ca")
        for name in keys:
            shutil.copy(self.pki.path(f"{name}.pem"), folder / "x509")
            shutil.copy(self.pki.path(f"{name}.key"), folder / "private")
        self.parts.append(made)
        return made

    def close(self):
        for part in reversed(self.parts):
            part.stop()
        for namespace in self.namespaces:
            run("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
