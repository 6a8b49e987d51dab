# SPDX-License-Identifier: Apache-2.0
"""What a daemon that speaks to the network keeps once it stands: nothing."""

import os
import re
from pathlib import Path


def assert_confined(pid, name):
    """No privilege, no file but where it writes its words, and a list of system calls, in every thread."""
    proc = Path(f"/proc/{pid}")
    for thread in (proc / "task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        assert fields["Name"] == name and fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1", fields
        assert {int(fields[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert "0" not in fields["Uid"].split() + fields["Gid"].split()
    held = {os.readlink(one) for one in (proc / "fd").iterdir()}
    output = os.readlink(proc / "fd" / "2")
    assert all(re.match(r"(socket|pipe|anon_inode):", one) or one in ("/dev/null", output) for one in held), held
