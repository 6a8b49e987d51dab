# SPDX-License-Identifier: Apache-2.0
"""Traffic that never rests, and what came of it: a flow the policy allows, and knocks at a door that must stay shut."""

import subprocess
import threading

from lab.system import wait_until

SHUT = (("10.0.0.18", 5432), ("fd00:10:0:2::2", 5432))  # a server listens there; no rule allows it

_KNOCK = """
import socket, sys, time
while True:
    for address in sys.argv[2:]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as knock:
            knock.setblocking(False)
            try: knock.connect((address, int(sys.argv[1])))
            except OSError: pass
        time.sleep(0.01)
"""


class Traffic:
    """`with Traffic(lab) as traffic`: pings pass, knocks must not. `answers` counts echoes that came back."""

    def __init__(self, lab):
        self.lab = lab
        self.answers = 0

    def __enter__(self):
        pc = self.lab["acme-pc"]
        self._door = self.lab["acme-db1"].capture()
        self._knocker = _quiet(pc.argv("/usr/bin/python3", "-c", _KNOCK, str(SHUT[0][1]), *(address for address, _ in SHUT)))
        self._ping = _quiet(pc.argv("stdbuf", "-oL", "ping", "-n", "-i", "0.02", "10.0.0.2"), stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._count, daemon=True)
        self._reader.start()
        self.wait_for_answers()
        return self

    def _count(self):
        for line in self._ping.stdout:
            if "bytes from" in line:
                self.answers += 1

    def wait_for_answers(self, more=20, timeout=20):
        """Traffic flows: `more` echoes come back from now on."""
        goal = self.answers + more
        wait_until(lambda: self.answers >= goal, timeout, f"{more} more echoes")

    def knocks_heard(self):
        """Packets of the shut door that reached the server behind it. Must be none, always."""
        return [seen for seen in self._door.packets() if seen.destination_port == SHUT[0][1]]

    def __exit__(self, *_):
        for process in (self._knocker, self._ping):
            process.kill()
            process.wait()
        self._reader.join(5)
        self._door.stop()


def _quiet(argv, **options):
    options.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
