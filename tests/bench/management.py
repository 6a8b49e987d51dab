#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What people and scripts wait for: API requests a second over TLS, and a commit of 10,000 rules until the data plane runs it.

  tests/bench/management.py [--rules N] [--binaries FOLDER]

In the demonstration's world, with all daemons. Requests come over connections that stay, each from a source of its own, because mgmtd gives
each source forty a second; a figure is what mgmtd, and mgmtd with controld, answer in one second of their own processor time. Needs root."""

import argparse
import json
import os
import re
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "board")]

from lab.api import Api, inside, invite  # noqa: E402
from lab.lab import DEMO_CONFIG, Lab  # noqa: E402

ACME = "acm00000001"
PASSWORD = "correct horse battery 7"
SOURCES, EACH, AT_ONCE = 96, 150, 8  # below what a source may ask in a burst
TICKS = os.sysconf("SC_CLK_TCK")


def processor(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Line:
    """One kept connection with its own address, and one question."""

    def __init__(self, api, number, path):
        context = ssl.create_default_context(cafile=str(api.certificate))
        with inside(api.namespace):
            plain = socket.create_connection((api.address, api.port), timeout=30, source_address=(f"127.0.{1 + number // 250}.{1 + number % 250}", 0))
        self.stream = context.wrap_socket(plain, server_hostname="localhost")
        self.question = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: __Host-sekisho={api.cookie}\r\n\r\n".encode()
        self.held = b""

    def ask(self):
        self.stream.sendall(self.question)

    def answer(self):
        """Bytes of the body."""
        while b"\r\n\r\n" not in self.held:
            self.held += self.stream.recv(65536)
        head, _, rest = self.held.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode(errors="replace"))
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
        while len(rest) < length:
            rest += self.stream.recv(65536)
        self.held = rest[length:]
        return length


def requests(lab, api, path, first):
    """Requests a second by wall clock and by processor time, and the size of an answer."""
    daemons = {name: lab.appliance.processes[name].pid for name in ("mgmtd", "controld")}
    lines = [Line(api, first + number, path) for number in range(SOURCES)]
    before = {name: processor(pid) for name, pid in daemons.items()}
    begun, size = time.monotonic(), 0
    for group in range(0, SOURCES, AT_ONCE):
        some = lines[group:group + AT_ONCE]
        for _ in range(EACH):
            for line in some:
                line.ask()
            for line in some:
                size = line.answer()
    wall = time.monotonic() - begun
    used = {name: processor(pid) - before[name] for name, pid in daemons.items()}
    count = SOURCES * EACH
    return {"count": count, "bytes": size, "per_second": round(count / wall), "per_core_mgmtd": round(count / max(used["mgmtd"], 0.01)),
            "per_core_both": round(count / max(sum(used.values()), 0.01))}


def document(rules, changed=False):
    """The demonstration's, with as many more rules for acme that it has `rules`: 250 named networks and 40 services, combined; the flows
    of the story match behind them."""
    head, acme, globex = Path(DEMO_CONFIG).read_text().split("  - service_code: ")
    networks = "".join(f"      - {{ name: net-{i}, entries: [10.{64 + i // 200}.{i % 200}.0/24, \"fd00:64:{i:x}::/48\"] }}\n" for i in range(250))
    services = "".join(f"      - {{ name: app-{i}, protocol: {'tcp' if i % 2 else 'udp'}, destination_ports: [{7000 + i}] }}\n" for i in range(40))
    lines = "".join(f"          - {{ name: generated {i}, action: {'allow' if i % 3 else 'drop'}, source: [office-net], destination: [net-{i % 250}], "
                    f"service: [app-{i // 250}], log: none }}\n" for i in range(rules - acme.count(", action: ")))
    if changed:
        lines = lines.replace("generated 17, action: allow", "generated 17, action: drop")
    acme = acme.replace("    addresses:\n", "    addresses:\n" + networks, 1).replace("    services:\n", "    services:\n" + services, 1)
    acme = acme.replace("        rules:\n", "        rules:\n" + lines, 1)
    return "  - service_code: ".join([head, acme, globex])


def commits(lab, rules, folder):
    """Seconds from the command to its end: the data plane runs the new policy then."""
    out = {}
    for name, text in (("all_new", document(rules)), ("one_changed", document(rules, changed=True))):
        path = folder / f"{name}.yaml"
        path.write_text(text)
        before = lab.appliance.generation()
        begun = time.monotonic()
        lab.appliance.commit(path)
        out[name] = round(time.monotonic() - begun, 2)
        if lab.appliance.generation() == before:
            raise RuntimeError("the data plane does not run what was committed")
    return out


def commit_by_api(lab, api):
    """The same by the API: one rule of the whole document changed."""
    config = api.get(f"/tenants/{ACME}/config")
    rule = next(one for policy in config["document"]["policies"] for one in policy["rules"] if one["name"] == "generated 20")
    rule["enabled"] = False
    begun = time.monotonic()
    api.post(f"/tenants/{ACME}/config/commit", {"document": config["document"], "comment": "one"}, If_Match=config["revision"])
    return round(time.monotonic() - begun, 2)


def measure(binaries, rules):
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as name, Lab(binaries=binaries) as lab:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "index.html").write_text("<!doctype html><title>portal</title>")
        lab.appliance.start_management(folder)
        api = Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
        api.welcome(invite(lab.appliance, f"bench@{ACME}", "owner"), PASSWORD)
        out = {"rules": rules, "requests": {}}
        for number, (what, path) in enumerate((("page", "/"), ("who am I", "/api/v1/me"), ("rules", f"/api/v1/tenants/{ACME}/rules"),
                                               ("dashboard", f"/api/v1/tenants/{ACME}/dashboard"))):
            out["requests"][what] = requests(lab, api, path, number * SOURCES)
        out["commit"] = commits(lab, rules, folder)
        try:
            out["commit"]["by_api"] = commit_by_api(lab, api)
        except Exception as error:  # what the API refuses is a finding, not the end of the run
            out["commit"]["by_api_refused"] = str(error)[:300]
        return out


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rules", type=int, default=10_000)
    options.add_argument("--binaries", type=Path, default=ROOT / "build/release/bin")
    asked = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: network namespaces")
    print(json.dumps(measure(asked.binaries, asked.rules), indent=1))


if __name__ == "__main__":
    main()
