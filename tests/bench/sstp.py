#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SSTP of a whole tunneld beside plain TLS (the limit) and SoftEther's server (the peer); 10,000 users of it held.

  tests/bench/sstp.py [--rounds N] [--seconds N] [--sessions N]

Makes a network namespace, a certificate and, where Debian's softether-vpnserver is installed, a hub with two users; sstp_bench measures.
Needs root and the release build of tunneld and sstp_bench."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOFTETHER = Path("/usr/libexec/softether/vpnserver/vpnserver")
PORT = 5555
PASSWORD = "a measurer's"


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more).stdout


class Space:
    """A network namespace whose loopback has every address of the service network."""

    def __init__(self):
        self.name = f"sekisho-bench-{os.getpid()}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "route", "add", "local", "198.18.0.0/15", "dev", "lo")

    def inside(self, *words):
        return ["ip", "netns", "exec", self.name, *(str(word) for word in words)]

    def remove(self):
        run("ip", "netns", "delete", self.name)


class SoftEther:
    """Its server, with two users on a hub that gives out addresses."""

    def __init__(self, space):
        # What it writes it writes into memory of its own mount namespace.
        places = " && ".join(f"mount -t tmpfs none {place} && mkdir {place}/softether" for place in ("/var/lib", "/var/log", "/run"))
        self.process = subprocess.Popen(space.inside("sh", "-c", f"{places} && exec {SOFTETHER} execsvc"), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.space = space
        self.wait()
        self.command("ServerCipherSet", "TLS_AES_256_GCM_SHA384", hub=None)
        self.command("SecureNatEnable")
        self.command("NatDisable")
        for user in ("user0", "user1"):
            self.command("UserCreate", user, "/GROUP:none", "/REALNAME:none", "/NOTE:none")
            self.command("UserPasswordSet", user, f"/PASSWORD:{PASSWORD}")

    def wait(self):
        for _ in range(400):
            if subprocess.run(self.space.inside("vpncmd", f"localhost:{PORT}", "/SERVER", "/CMD", "ServerInfoGet"), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("SoftEther does not answer")

    def command(self, *words, hub="DEFAULT"):
        where = [f"/ADMINHUB:{hub}"] if hub else []
        done = subprocess.run(self.space.inside("vpncmd", f"localhost:{PORT}", "/SERVER", *where, "/CMD", *words), stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"vpncmd {' '.join(words)}: {done.stdout[-400:]}", file=sys.stderr)

    def pid(self):
        """Of the process that has threads and sockets: it may have forked."""
        group = self.process.pid
        own = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and self.is_ours(one) and os.getpgid(int(one.name)) == group]
        return max(own, key=lambda pid: len(os.listdir(f"/proc/{pid}/task")))

    def is_ours(self, entry):
        try:
            return os.readlink(entry / "exe") == str(SOFTETHER)
        except OSError:
            return False

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def measure(binaries, rounds, seconds, sessions):
    folder = Path(tempfile.mkdtemp(prefix="sekisho-bench-"))
    folder.chmod(0o755)
    space, peer = Space(), None
    try:
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=gw.bench.test",
            "-addext", "subjectAltName=DNS:gw.bench.test", "-keyout", folder / "gateway.key", "-out", folder / "gateway.pem")
        shutil.copy(binaries / "bin/tunneld", folder / "tunneld")  # whoever runs it may not see into this tree
        words = [binaries / "bench/sstp_bench", folder / "tunneld", folder, "--rounds", rounds, "--seconds", seconds, "--sessions", sessions]
        if SOFTETHER.exists():
            peer = SoftEther(space)
            run("taskset", "-a", "-p", "-c", "0", peer.pid())
            words += ["--softether", peer.pid(), PORT]
        done = subprocess.run(space.inside(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        if peer:
            peer.stop()
        space.remove()
        shutil.rmtree(folder)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=2)
    options.add_argument("--sessions", type=int, default=10000)
    options.add_argument("--binaries", type=Path, default=ROOT / "build/release")
    asked = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: network namespaces")
    print(json.dumps(measure(asked.binaries, asked.rounds, asked.seconds, asked.sessions), indent=1))


if __name__ == "__main__":
    main()
