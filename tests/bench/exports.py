#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to hand records to a collector: records a second of exportd's and of logd's own processor time, and by the clock.

  tests/bench/exports.py [--records N] [--binaries FOLDER]

In the demonstration's world: denials of one tenant are stored while exportd is away, then exportd starts and everything goes out, once a
collector of each kind. The collectors take and count, by record; they run beside exportd on the same cores. Needs root."""

import argparse
import gzip
import http.server
import json
import os
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "board"), str(ROOT / "tests" / "e2e")]

from export_world import ADDRESS, Exports, target  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.system import inside, wait_until  # noqa: E402
from management import processor  # noqa: E402

ACME = "acm00000001"
TOKEN = "a-token-of-sixteen-or-more"


class Syslog:
    """A collector of syslog over TLS: counts records as they come."""

    def __init__(self, lab, folder, port):
        self.count, self.bytes = 0, 0
        with inside(lab.topology.office):
            self.listener = socket.create_server((ADDRESS, port))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem", folder / "server.key")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            plain = self.listener.accept()[0]
            threading.Thread(target=self._meet, args=(plain,), daemon=True).start()

    def _meet(self, plain):
        try:
            self.take(self.context.wrap_socket(plain, server_side=True))
        except OSError:
            pass  # exportd was killed between two fillings

    def take(self, stream):
        marker, kept = b"[timeQuality ", b""
        while data := stream.recv(1 << 18):
            self.bytes += len(data)
            data = kept + data
            self.count += data.count(marker)
            kept = data[-(len(marker) - 1):]


class Https(Syslog):
    """The same of batches by HTTPS."""

    def take(self, stream):
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                text = gzip.decompress(body)
                keeper.bytes += len(text)
                keeper.count += text.count(b"\n")
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        Handler(stream, (ADDRESS, 0), None)


def fill(lab, count, first_port):
    """Datagrams that no rule lets through, each with ports of its own: a record each. How many were stored of late is the caller's to ask."""
    each = 50_000
    with inside(lab.topology["acme-pc"].namespace):
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1 + (count - 1) // each)]
    for number, one in enumerate(sockets):
        one.bind(("", first_port + number))
    for number in range(count):
        try:
            sockets[number // each].sendto(b"x", ("10.0.0.2", 1 + number % each))
        except OSError:
            pass  # the gateway's own "no" to one before
        if number % 100 == 99:
            time.sleep(0.01)
    for one in sockets:
        one.close()


def measure(binaries, records):
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as name, Lab(binaries=binaries) as lab:
        folder = Path(name)
        folder.chmod(0o755)
        exports = Exports(lab, folder)
        exports.base = exports.base.replace("    name: acme\n", "    name: acme\n    quotas: { log_per_second: 10000, log_burst: 100000 }\n", 1)
        lab.appliance.start_daemon("exportd")
        out = {}
        for number, (kind, make, port) in enumerate((("syslog", Syslog, 16514), ("https", Https, 18443))):
            collector = make(lab, folder, port)
            more = {"token": TOKEN, "path": "/in"} if kind == "https" else {}
            exports.commit(acme=[target(folder, kind, kind, port, types=["comm"], **more)])
            exports.wait_up(kind)
            lab.appliance.kill("exportd")
            fill(lab, records, 30_000 + 100 * number)
            logd = lab.appliance.processes["logd"].pid
            wait_until(lambda: _idle(logd), 60, "logd to have stored what came", every=0.5)
            before, had, bytes_before = processor(logd), collector.count, collector.bytes
            begun = time.monotonic()
            lab.appliance.start_daemon("exportd")
            wait_until(lambda: collector.count - had >= records * 9 // 10, 120, "the records", every=0.02)
            wall, count = time.monotonic() - begun, collector.count - had
            used = processor(lab.appliance.processes["exportd"].pid)
            out[kind] = {"records": count, "bytes": (collector.bytes - bytes_before) // count, "per_core": round(count / max(used, 0.01)),
                         "per_core_logd": round(count / max(processor(logd) - before, 0.01)), "per_second": round(count / wall)}
        return out


def _idle(pid):
    before = processor(pid)
    time.sleep(1)
    return processor(pid) - before < 0.05


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--records", type=int, default=100_000)
    options.add_argument("--binaries", type=Path, default=ROOT / "build/release/bin")
    asked = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: network namespaces")
    print(json.dumps(measure(asked.binaries, asked.records), indent=1))


if __name__ == "__main__":
    main()
