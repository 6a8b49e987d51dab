# SPDX-License-Identifier: Apache-2.0
"""Every parser of foreign bytes has a fuzz target and a corpus; the table is tests/fuzz/README.md's."""

import re

from tree import ROOT, end, files, name

fuzz = ROOT / "tests/fuzz"
table = (fuzz / "README.md").read_text() if (fuzz / "README.md").exists() else ""
rows = re.findall(r"^\|\s*`([^`]+)`\s*\|\s*`?(\w+)`?\s*\|", table, flags=re.M)  # | `parser file` | target |
targets = {path.stem[: -len("_fuzz")] for path in fuzz.glob("*_fuzz.cc")}
findings = []
for parser, target in rows:
    if not (ROOT / parser).exists():
        findings.append(f"tests/fuzz/README.md: {parser} does not exist")
    if target not in targets:
        findings.append(f"tests/fuzz/README.md: {parser} names {target}, but tests/fuzz/{target}_fuzz.cc does not exist")
for target in sorted(targets):
    if target not in {row[1] for row in rows}:
        findings.append(f"tests/fuzz/{target}_fuzz.cc is not in the table of tests/fuzz/README.md")
    corpus = fuzz / "corpus" / target
    if not corpus.is_dir() or not any(corpus.iterdir()):
        findings.append(f"tests/fuzz/corpus/{target} is empty: CI has nothing to replay")
# A file that reads the wire or a message with WireReader, or parses a document, is a parser: it must be in the table.
listed = {row[0] for row in rows}
for path in files(".cc", under=("base", "filters", "dataplane", "control", "mgmt", "vpn")):
    if re.search(r"\bWireReader\s+\w+\s*[({]", path.read_text()) and name(path) not in listed:
        findings.append(f"{name(path)}: reads foreign bytes but is not in the table of tests/fuzz/README.md")
end(findings, len(targets), "fuzz targets")
