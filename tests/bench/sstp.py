#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SSTP of a whole tunneld beside plain TLS (the limit); 10,000 users of it held.

  tests/bench/sstp.py [--rounds N] [--seconds N] [--sessions N]

Makes a network namespace and a certificate; sstp_bench measures. Of peers there is none: Debian's SoftEther never answers SSTP's greeting.
Needs root and the release build of tunneld and sstp_bench."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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


def measure(binaries, rounds, seconds, sessions):
    folder = Path(tempfile.mkdtemp(prefix="sekisho-bench-"))
    folder.chmod(0o755)
    space = Space()
    try:
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=gw.bench.test",
            "-addext", "subjectAltName=DNS:gw.bench.test", "-keyout", folder / "gateway.key", "-out", folder / "gateway.pem")
        shutil.copy(binaries / "bin/tunneld", folder / "tunneld")  # whoever runs it may not see into this tree
        words = [binaries / "bench/sstp_bench", folder / "tunneld", folder, "--rounds", rounds, "--seconds", seconds, "--sessions", sessions]
        done = subprocess.run(space.inside(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])
    finally:
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
