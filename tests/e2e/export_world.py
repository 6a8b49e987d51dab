# SPDX-License-Identifier: Apache-2.0
"""Collectors of records, on an address of the daemons' own namespace: a real rsyslog, a real nfcapd, an HTTPS server and a UDP sink."""

import gzip
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading

from lab.lab import DEMO_CONFIG
from lab.system import inside, run, wait_until

ADDRESS = "192.168.77.1"
SERVER_NAME = "collector.example"

RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
       defaultNetstreamDriverCAFile="{folder}/ca.pem" defaultNetstreamDriverCertFile="{folder}/{name}.pem" defaultNetstreamDriverKeyFile="{folder}/{name}.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="{mode}")
input(type="imtcp" address="{address}" port="{port}" ruleset="keep")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="keep") {{ action(type="omfile" file="{folder}/{output}" template="raw" flushOnTXEnd="on") }}
"""


def make_certificates(folder):
    """ca signs server (of SERVER_NAME) and client; other is somebody else's."""
    def make(*arguments):
        run(["openssl", *map(str, arguments)])

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other"):
        make("req", "-x509", *key, "-days", 30, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/CN={name}")
    for name, san in (("server", f"DNS:{SERVER_NAME}"), ("elsewhere", "DNS:elsewhere.example"), ("client", "DNS:client.example")):
        make("req", *key, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text(f"subjectAltName={san}\n")
        make("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 30,
             "-extfile", folder / f"{name}.ext", "-out", folder / f"{name}.pem")


def target(folder, name, kind, port, **more):
    """A collector of the configuration, believed by ca.pem and shown the client's certificate."""
    out = {"name": name, "kind": kind, "address": ADDRESS, "port": port}
    if more.get("transport") not in ("udp", "tcp"):
        out |= {"server_name": SERVER_NAME, "cas": [(folder / "ca.pem").read_text()], "certificate": (folder / "client.pem").read_text(),
                "key": re.search("-----BEGIN PRIVATE KEY.*", (folder / "client.key").read_text(), re.S).group(0)}
    return out | more


class Exports:
    """What of the demonstration's configuration goes where."""

    def __init__(self, lab, folder):
        self.lab, self.folder, self.commits = lab, folder, 0
        self.base = DEMO_CONFIG.read_text()
        run(["ip", "-n", lab.topology.office, "link", "set", "lo", "up"])
        run(["ip", "-n", lab.topology.office, "addr", "add", f"{ADDRESS}/32", "dev", "lo"])
        make_certificates(folder)

    def commit(self, acme=(), globex=(), provider=()):
        self.commits += 1
        text = self.base
        for name, targets in (("acme", acme), ("globex", globex)):
            text = text.replace(f"    name: {name}\n", f"    name: {name}\n    log_exports: {json.dumps(list(targets))}\n", 1)
        text += f"\nlog_exports: {json.dumps({'destinations': [ADDRESS + '/32'], 'targets': list(provider)})}\n"
        path = self.folder / f"config{self.commits}.yaml"
        path.write_text(text)
        self.lab.appliance.commit(path)

    def state(self, name):
        """The row of `sekishoctl log exports`."""
        rows = json.loads(self.lab.appliance.ctl("--json", "log", "exports").stdout)["rows"]
        return next((row for row in rows if row["name"] == name), {})

    def wait_up(self, *names):
        for name in names:
            wait_until(lambda name=name: self.state(name).get("state") == "up", 40, f"{name} up: {self.state(name)}", every=0.2)

    def wait_for_error(self, name, words):
        wait_until(lambda: words in (self.state(name).get("error") or ""), 40, f"{words} of {name}: {self.state(name)}", every=0.2)


class Rsyslog:
    def __init__(self, lab, folder, port, *, name="server", output="syslog.txt", mode="x509/certvalid"):
        self.lab, self.folder, self.port, self.output = lab, folder, port, folder / output
        self.conf = folder / f"rsyslog{port}.conf"
        self.conf.write_text(RSYSLOG.format(folder=folder, name=name, address=ADDRESS, port=port, output=output, mode=mode))
        self.process = None

    def start(self):
        pid = self.folder / f"rsyslog{self.port}.pid"
        pid.unlink(missing_ok=True)
        self.process = subprocess.Popen(["ip", "netns", "exec", self.lab.topology.office, "/usr/sbin/rsyslogd", "-n", "-f", str(self.conf), "-i", str(pid)],
                                        stdin=subprocess.DEVNULL, stdout=open(self.folder / f"rsyslog{self.port}.out", "ab"), stderr=subprocess.STDOUT)
        wait_until(self._answers, 30, "rsyslog listening", every=0.1)
        return self

    def _answers(self):
        with inside(self.lab.topology.office):
            probe = socket.socket()
        with probe:
            return probe.connect_ex((ADDRESS, self.port)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def lines(self):
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return text[:text.rfind("\n") + 1].splitlines()

    def records(self):
        """(header, parameters, body) of each line."""
        out = []
        for line in self.lines():
            found = re.fullmatch(r'<(\d+)>1 (\S+) (\S+) fwgw - (\S+) \[e@32473 ([^\]]*)\]\[timeQuality tzKnown="1" isSynced="([01])"\] (\{.*\})', line)
            assert found, line
            out.append((found.group(1, 2, 3, 4), dict(re.findall(r'(\w+)="([^"]*)"', found.group(5))), {**json.loads(found.group(7)), "time_synced": found.group(6) == "1"}))
        return out


class Https:
    """An HTTPS server that wants the client's certificate and a token; `answers` are given first, then 200."""

    def __init__(self, lab, folder, port, token, answers=()):
        self.requests, self.answers, self.token = [], list(answers), token
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = keeper.answers.pop(0) if keeper.answers else 200
                if self.headers["Authorization"] != f"Bearer {keeper.token}":
                    status = 401
                text = gzip.decompress(body).decode()
                keeper.requests.append((status, self.path, dict(self.headers), len(text), [json.loads(line) for line in text.splitlines()]))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        with inside(lab.topology.office):
            self.server = http.server.ThreadingHTTPServer((ADDRESS, port), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def records(self):
        return [record for status, _, _, _, records in list(self.requests) if status == 200 for record in records]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Nfcapd:
    def __init__(self, lab, folder, port):
        self.lab, self.port, self.folder = lab, port, folder / "flows"
        self.folder.mkdir()
        self.process = subprocess.Popen(["ip", "netns", "exec", lab.topology.office, "/usr/bin/nfcapd", "-w", str(self.folder), "-b", ADDRESS, "-p", str(port)],
                                        stdin=subprocess.DEVNULL, stdout=open(folder / "nfcapd.out", "ab"), stderr=subprocess.STDOUT)

        def listens():
            assert self.process.poll() is None, (folder / "nfcapd.out").read_text()
            sockets = run(["ip", "netns", "exec", lab.topology.office, "ss", "-lunH"]).stdout
            return f"{ADDRESS}:{port}" in sockets

        wait_until(listens, 30, "nfcapd listening", every=0.1)

    def flows(self):
        """Ends nfcapd, which then writes its file, and reads it with nfdump: (source, source port, destination, destination port, packets, bytes)."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        text = run(["/usr/bin/nfdump", "-q", "-R", str(self.folder), "-o", "fmt:%sa|%sp|%da|%dp|%pr|%ipkt|%ibyt"]).stdout
        return [tuple(part.strip() for part in line.split("|")) for line in text.splitlines() if line.count("|") == 6]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Sink:
    """UDP datagrams as they come."""

    def __init__(self, lab, port):
        with inside(lab.topology.office):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, port))
        self.datagrams = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                self.datagrams.append(self.socket.recv(65535))
            except OSError:
                return

    def stop(self):
        self.socket.close()


def decode_ipfix(datagrams, path, *fields):
    """What tshark sees in the datagrams: one list a record and field."""
    import struct

    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # raw IP
        for data in datagrams:
            packet = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0, bytes([10, 9, 9, 1]), bytes([10, 9, 9, 2]))
            packet += struct.pack(">HHHH", 40000, 4739, 8 + len(data), 0) + data
            out.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
    environment = {**os.environ, "HOME": str(path.parent)}
    done = subprocess.run(["tshark", "-r", str(path), "-d", "udp.port==4739,cflow", "-T", "json", *[word for field in ("_ws.malformed", *fields) for word in ("-e", field)]],
                          capture_output=True, text=True, timeout=60, env=environment)
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]
