# SPDX-License-Identifier: Apache-2.0
"""Who the unit's messages go to: Debian's exim with a certificate, and a webhook that keeps what it was told. Both in a namespace."""

import base64
import email
import email.policy
import http.server
import json
import os
import pwd
import ssl
import subprocess
import threading

from lab.api import inside
from lab.system import run, wait_until

USER, PASSWORD = "unit", "hunter2secret"

_EXIM = """\
primary_hostname = mail.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = 2465 : 2587
tls_on_connect_ports = 2465
tls_advertise_hosts = *
tls_certificate = {folder}/mail.crt
tls_privatekey = {folder}/mail.key
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path =
never_users =
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
host_lookup =
rfc1413_hosts =
begin acl
check_mail:
  deny !encrypted = *
       message = TLS first
  accept authenticated = *
  deny message = sign in first
check_rcpt:
  deny local_parts = nobody
       message = no such person
  accept domains = acme.example : unit.example
  deny message = not ours
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = {folder}/box/mail
  envelope_to_add
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{unit}}}}{{eq{{$auth3}}{{hunter2secret}}}}}}}}
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_set_id = $auth2
"""


def make_certificate(folder, name, *names):
    """A self-signed one: (certificate, key). names: of subjectAltName."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-keyout", key, "-out", certificate, "-subj", f"/CN={name}",
         "-addext", "subjectAltName=" + ",".join(names)])
    return certificate, key


class MailServer:
    """exim on 127.0.0.1: TLS at once on 2465, STARTTLS on 2587; takes mail of who signs in, for acme.example."""

    def __init__(self, folder, namespace):
        self.folder, self.namespace, self.process = folder, namespace, None
        folder.chmod(0o755)
        self.certificate, key = make_certificate(folder, "mail", "IP:127.0.0.1")
        user = pwd.getpwnam("Debian-exim")
        for name in ("spool", "box"):
            (folder / name).mkdir()
            os.chown(folder / name, user.pw_uid, user.pw_gid)
        os.chown(key, user.pw_uid, user.pw_gid)
        (folder / "exim.conf").write_text(_EXIM.format(folder=folder))

    def start(self):
        self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, "/usr/sbin/exim4", "-bdf", "-C", self.folder / "exim.conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        listens = ["ip", "netns", "exec", self.namespace, "ss", "-Htln", "sport = :2465"]
        wait_until(lambda: run(listens).stdout.strip(), 20, "the mail server listening", every=0.1)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def mails(self):
        """All so far, oldest first: (message, text)."""
        box = self.folder / "box" / "mail"
        if not box.exists():
            return []
        out = []
        for part in ("\n" + box.read_text()).split("\nFrom ")[1:]:
            message = email.message_from_string(part.split("\n", 1)[1], policy=email.policy.default)
            out.append((message, base64.b64decode(message.get_payload()).decode()))
        return out

    def find(self, subject, recipient):
        return [(m, t) for m, t in self.mails() if m["Subject"] == subject and recipient in m["Envelope-to"]]


class Webhook:
    """Answers with `status` and keeps the calls: (headers, body)."""

    def __init__(self, folder, namespace, status=204):
        self.certificate, key = make_certificate(folder, "hook", "IP:127.0.0.1")
        self.calls, self.status = [], status
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.calls.append((dict(self.headers), body))
                self.send_response(owner.status)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        with inside(namespace):
            self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}/hook?unit=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def events(self):
        return [json.loads(body) for _, body in self.calls]
