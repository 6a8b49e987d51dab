# SPDX-License-Identifier: Apache-2.0
"""Acme lets people in from home: a gateway for SSTP, with a certificate made for this run, and one user."""

import json

from .sstp import SstpClient
from .system import run, wait_until

USER, PASSWORD = "hana", "from home"
_HASH = "5fc3a745e3ea5d5bf7b13fca28974853"  # MD4 of the password, as Windows keeps it
_NAME, _ADDRESS = "gw.acme.test", "203.0.113.21"
_PORT = "      - { name: users, kind: tunnel, zone: remote }\n"
_POLICY = """      - name: from home
        from: [remote]
        to: [servers]
        default_log: folded
        rules:
          - { name: staff web, action: allow, users: [staff], service: [http], log: both }
"""


def open_door(lab):
    """Commits the demonstration's document with the gateway in it, and waits until it lets people in."""
    certificate, key = lab.root / "out" / "home.crt", lab.root / "out" / "home.key"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", key, "-out", certificate,
         "-subj", f"/CN={_NAME}", "-addext", f"subjectAltName=DNS:{_NAME}"])
    remote = f"""    pools:
      - {{ name: people, tunnel: users, ranges: [10.99.0.10-10.99.0.40] }}
    user_groups:
      - {{ name: staff, pool: people }}
    users:
      - {{ name: {USER}, groups: [staff], nt_hash: "{_HASH}" }}
    gateways:
      - {{ name: home, addresses: [{_ADDRESS}], port: net, tunnel: users, identity: {_NAME}, networks: [10.0.0.0/24],
          sstp: {{ accept: [mschapv2, pap], certificates: {json.dumps([certificate.read_text()])}, keys: {json.dumps([key.read_text()])} }} }}
"""
    head, acme, others = lab.config.read_text().split("  - service_code: ", 2)
    acme = acme.replace("zones: [servers, office, internet]", "zones: [servers, office, internet, remote]", 1)
    acme = acme.replace("    ports:\n", "    ports:\n" + _PORT, 1).replace("    policies:\n", remote + "    policies:\n" + _POLICY, 1)
    document = lab.root / "out" / "home.yaml"
    document.touch(mode=0o600)
    document.write_text("  - service_code: ".join((head, acme, others)))
    lab.appliance.commit(document)
    wait_until(lambda: f"follows revision {lab.appliance.generation()}\n" in lab.appliance.output("tunneld"), 20, "tunneld following")


def client(lab, password=PASSWORD):
    """Hana's machine, outside; `with client(lab)`: she is in. A client of our own, by PAP inside of TLS: it needs no kernel that knows PPP."""
    return SstpClient(lab["outside"].namespace, _ADDRESS, USER, password, server=_NAME, trust=str(lab.root / "out" / "home.crt"), method="pap")
