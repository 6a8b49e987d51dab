# SPDX-License-Identifier: Apache-2.0
"""The portal of one run: its files, its first people, and hosts that keep talking so that its charts move."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from .api import invite
from .appliance import default_binaries

# What the hosts do all day, a little of everything that is allowed, denied or rejected.
_DAY = {
    "pc": """while :; do curl -s -m 2 -o /dev/null http://10.0.0.2/; curl -s -m 2 -o /dev/null 'http://[fd00:10:0:1::2]/'
             curl -s -m 1 -o /dev/null http://10.0.0.2:22/; ping -n -q -c 1 -W 1 10.0.0.18 >/dev/null; sleep 0.3; done""",
    "db1": "while :; do curl -s -m 1 -o /dev/null http://10.0.0.2:5432/; sleep 2; done",
    "web1": "while :; do curl -s -m 2 -o /dev/null http://192.0.2.2/; sleep 0.7; done",
}


def portal_files():
    """Built beside the programs (build/PRESET/portal), or where SEKISHO_PORTAL says; None where there is no portal."""
    folder = Path(os.environ.get("SEKISHO_PORTAL") or Path(default_binaries()).parent / "portal")
    return folder if (folder / "app.js").exists() else None


def open_portal(lab, port=0, outside=False):
    """Starts mgmtd with the portal's files; returns the address a browser opens."""
    files = shutil.copytree(portal_files(), lab.root / "out" / "portal")  # where mgmtd's user can read
    address, port = lab.appliance.start_management(files, port=port, outside=outside)
    return f"https://{address}:{port}"


def links(lab, url, people):
    """{name: one-time link} of new accounts; people: {name: role}."""
    return {name: f"{url}/#/welcome/{invite(lab.appliance, name, role)}" for name, role in people.items()}


class LivingHosts:
    """`with LivingHosts(lab):` hosts of both tenants talk until the end."""

    def __init__(self, lab):
        self._lab = lab
        self._processes = []

    def __enter__(self):
        for tenant in ("acme", "globex"):
            for host, script in _DAY.items():
                argv = self._lab[f"{tenant}-{host}"].argv("sh", "-c", script)
                self._processes.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True))
        return self

    def __exit__(self, *_):
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
