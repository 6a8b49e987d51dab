# SPDX-License-Identifier: Apache-2.0
"""A FreeRADIUS of one's own in a namespace, with a configuration made here; and a server that is a function, for answers no honest one
would give."""

import os
import signal
import subprocess

from lab.system import wait_until

FREERADIUS, RADCLIENT = "/usr/sbin/freeradius", "/usr/bin/radclient"
SECRET = "a secret of sixteen or more"

CONFIG = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
pidfile = {folder}/pid
max_request_time = 30
cleanup_delay = 5
max_requests = 4096
log {{
  destination = stdout
  auth = yes
}}
security {{
  user = root
  group = root
  reject_delay = 0
}}
thread pool {{
  start_servers = 4
  max_servers = 16
}}
client tenant {{
  ipaddr = {source}
  secret = "{secret}"
  require_message_authenticator = yes
}}
modules {{
  files {{
    filename = {folder}/users
  }}
  detail {{
    filename = {folder}/detail
    permissions = 0600
  }}
  mschap {{
  }}
  pap {{
  }}
  chap {{
  }}
  eap {{
    default_eap_type = {method}
    timer_expire = 60
    max_sessions = 4096
    tls-config tls-common {{
      private_key_file = {folder}/server.key
      certificate_file = {folder}/server.pem
      ca_file = {folder}/ca.pem
      tls_min_version = "1.2"
      tls_max_version = "1.2"
      ecdh_curve = prime256v1
    }}
    tls {{
      tls = tls-common
    }}
    ttls {{
      tls = tls-common
      default_eap_type = mschapv2
      virtual_server = inner
    }}
    peap {{
      tls = tls-common
      default_eap_type = mschapv2
      virtual_server = inner
    }}
    mschapv2 {{
    }}
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = {address}
    port = 1812
  }}
  listen {{
    type = acct
    ipaddr = {address}
    port = 1813
  }}
  authorize {{
    files
    eap {{
      ok = return
    }}
    chap
    mschap
    pap
  }}
  authenticate {{
    Auth-Type MS-CHAP {{
      mschap
    }}
    Auth-Type CHAP {{
      chap
    }}
    Auth-Type PAP {{
      pap
    }}
    eap
  }}
  accounting {{
    detail
  }}
  # Servers of before 3.2.5 sign EAP alone, unless they are told to.
  post-auth {{
    update reply {{
      Message-Authenticator := 0x00
    }}
{after}    Post-Auth-Type REJECT {{
      update reply {{
        Message-Authenticator := 0x00
      }}
    }}
  }}
}}
server inner {{
  authorize {{
    files
    eap {{
      ok = return
    }}
  }}
  authenticate {{
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
  post-auth {{
    update outer.session-state {{
      User-Name := &User-Name
      Filter-Id := &reply:Filter-Id
    }}
  }}
}}
"""


# What is said of who logs in inside of a tunnel: his name and groups, or the groups alone.
NAMES_INSIDE = """
    if (&session-state:User-Name) {
      update reply {
        User-Name := &session-state:User-Name
        Filter-Id := &session-state:Filter-Id
      }
    }
"""
NAMES_NOBODY = """
    update reply {
      User-Name !* ANY
      Filter-Id := &session-state:Filter-Id
    }
"""


class FreeRadius:
    """One server in the namespace of a host. `users`: the text of its users file; `method`: what it asks for first."""

    def __init__(self, host, folder, users, *, address="10.0.0.2", source="10.0.0.1", method="mschapv2", pki=None, ca="", certificate="", after=""):
        self.host, self.folder, self.address = host, folder, address
        folder.mkdir(parents=True)
        (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
        (folder / "users").write_text(users)
        for name, part in (("server.pem", f"{certificate}.pem"), ("server.key", f"{certificate}.key"), ("ca.pem", f"{ca}.pem")):
            (folder / name).write_text(pki.path(part).read_text())
        (folder / "radiusd.conf").write_text(CONFIG.format(folder=folder, source=source, secret=SECRET, address=address, method=method, after=after))
        self.log = folder / "log"
        self.process = None
        self.start()

    def start(self):
        seen = len(self.output())
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.host.argv(FREERADIUS, "-f", "-l", "stdout", "-d", str(self.folder), "-D", str(self.folder)), stdout=out, stderr=out)
        wait_until(lambda: self.process.poll() is not None or "Ready to process requests" in self.output()[seen:], 15, "freeradius listening")
        assert self.process.poll() is None, self.output()

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def logins(self):
        return self.output().count("Login OK")

    def accounting(self):
        """The records of the detail file, in order, as dictionaries of texts."""
        path, out = self.folder / "detail", []
        for block in (path.read_text().split("\n\n") if path.exists() else []):
            pairs = [line.strip().split(" = ", 1) for line in block.splitlines() if " = " in line]
            if pairs:
                out.append({name: value.strip('"') for name, value in pairs})
        return out

    def ask(self, what, *attributes, to="10.0.0.1", secret=SECRET):
        """What radclient says of a disconnect or change request, sent from this server's host."""
        text = "\n".join(attributes) + "\n"
        done = subprocess.run(self.host.argv(RADCLIENT, "-x", "-r", "2", "-t", "2", "-D", str(self.folder), f"{to}:3799", what, secret), input=text,
                              capture_output=True, text=True, check=False, timeout=20)
        return done.stdout + done.stderr

    def stop(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, how)
            self.process.wait()


FORGER = """
import hashlib, hmac, socket, struct, sys
secret, how = sys.argv[2].encode(), sys.argv[3]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 1812))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(4096)
    request = data[4:20]
    attributes = b""
    if how == "wrong":
        attributes = bytes([80, 18]) + hmac.new(b"another secret", struct.pack("!BBH", 2, data[1], 38) + request + bytes([80, 18]) + bytes(16), "md5").digest()
    head = struct.pack("!BBH", 2, data[1], 20 + len(attributes))
    s.sendto(head + hashlib.md5(head + request + attributes + secret).digest() + attributes, peer)
    print("forged", flush=True)
"""


class Forger:
    """Answers each request at once with an accept: right Response Authenticator, Message-Authenticator missing or wrong."""

    def __init__(self, host, how, address="10.0.0.2"):
        self.process = subprocess.Popen(host.argv("/usr/bin/python3", "-c", FORGER, address, SECRET, how), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        self.process.kill()
        self.process.wait()


