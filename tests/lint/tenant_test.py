# SPDX-License-Identifier: Apache-2.0
"""A packet's tenant is written in one place: dataplane/path/bind.cc. Everywhere else it is read."""

import re

from tree import end, files, name, without_comments

ONLY = "dataplane/path/bind.cc"
# The record is called meta everywhere: `meta.tenant = ...`, `meta->tenant = ...`, `packet.meta().tenant = ...`.
WRITE = re.compile(r"\bmeta(?:\(\w*\)|\[[^\]]*\]|_)?\s*(?:\.|->)\s*tenant\s*=(?!=)")

sources = files(".h", ".cc", under=("filters", "dataplane"))
findings, writes = [], 0
for path in sources:
    for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1):
        if WRITE.search(line):
            writes += 1
            if name(path) != ONLY:
                findings.append(f"{name(path)}:{number}: the tenant is written outside {ONLY}")
if writes == 0:
    findings.append(f"no write of a packet's tenant found, not even in {ONLY}: this lint no longer sees it")
end(findings, len(sources), "source files")
