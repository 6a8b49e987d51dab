#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""In the guest: runs each /job/cmd/N.sh the host drops, several at once, and leaves N.out and N.rc; ends with /job/cmd/quit."""

import os
import subprocess
import time

FOLDER = "/job/cmd"
running, seen = {}, set()
while "quit" not in (names := os.listdir(FOLDER)):
    for name in sorted(names):
        if name.endswith(".sh") and name not in seen:
            seen.add(name)
            base = os.path.join(FOLDER, name[:-3])
            with open(base + ".out", "wb") as out:
                running[base] = subprocess.Popen(["bash", base + ".sh"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    for base, process in list(running.items()):
        if process.poll() is not None:
            with open(base + ".rc.new", "w") as done:
                done.write(f"{process.returncode}\n")
            os.rename(base + ".rc.new", base + ".rc")
            del running[base]
    time.sleep(0.03)  # the host's folder tells nobody what changed in it
