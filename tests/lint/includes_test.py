# SPDX-License-Identifier: Apache-2.0
"""Layers and fences, for raw #include lines: CMake cannot see a header that is used without linking."""

import re

from tree import PARTS, end, files, name

LAYER = {"base": 0, "filters": 1, "dataplane": 2, "control": 2, "vpn": 2, "mgmt": 2, "board": 2}

# (what the included name looks like, where it may stand). Foreign libraries are fenced to the code that needs them.
FENCES = [
    (r"^rte_", ("dataplane/", "tests/")),
    (r"^intel-ipsec-mb", ("dataplane/tunnel/", "vpn/sstp/record.cc", "tests/bench/")),
    (r"^sqlite3\.h$", ("control/config/store.cc", "tests/bench/vault_bench.cc", "tests/unit/control/store_test.cc")),
    (r"^zstd\.h$", ("mgmt/log/vault/block.cc", "tests/bench/vault_bench.cc")),
    (r"^zlib\.h$", ("mgmt/log/vault/download.cc", "mgmt/export/https.cc", "tests/unit/export/https_test.cc")),
    (r"^yaml-cpp/", ("control/config/decode", "control/config/codec")),
    (r"^unicode/", ("control/config/",)),
    (r"^CLI/", ("mgmt/cli/",)),
    (r"^seccomp\.h$", ("base/os/sandbox.cc",)),
    (r"^boost/", ("control/", "mgmt/", "tests/unit/control/", "tests/unit/mgmt/")),
    (r"^boost/beast", ("mgmt/http/", "mgmt/outbound/", "mgmt/export/https.cc")),
    (r"^openssl/", ("base/crypto/", "control/", "vpn/", "mgmt/http/", "mgmt/export/connection.cc", "mgmt/export/main.cc", "mgmt/log/", "mgmt/outbound/", "tests/")),
    (r"^(libnftnl|libmnl)/", ("board/hostnet/",)),
    (r"^hs(_.*)?\.h$", ("filters/signature/",)),
    (r"^google/protobuf", ("base/", "control/", "mgmt/", "dataplane/service/", "tests/")),
    (r"\.pb\.h$", ("base/ipc/", "control/", "mgmt/", "vpn/", "board/", "dataplane/service/", "dataplane/main.cc", "tests/")),
    (r"^(gtest|gmock)/", ("tests/",)),
    # strongSwan's: C files alone. Its names are common words, and C++ cannot read them.
    (r"^(daemon|library)\.h$|^(attributes|bus|collections|credentials|crypto|eap|encoding|ipsec|kernel|network|networking|plugins|processing|sa"
     r"|selectors|threading|utils)/\w", ("vpn/ike/",)),
    (r"^vpn/ike/(internal|config)\.h$", ("vpn/ike/",)),
]


def findings_in(path, text):
    here = name(path)
    part = here.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
        if not match:
            continue
        included = match.group(2)
        target = included.split("/")[0]
        if target == "tests" and part != "tests":
            yield f"{here}:{number}: nothing includes tests/: {included}"
        if part in LAYER and target in PARTS and target != part and LAYER[target] >= LAYER[part]:
            yield f"{here}:{number}: {part} may not include {target}: {included}"
        if included.startswith("."):
            yield f"{here}:{number}: paths start at the root: {included}"
        for pattern, allowed in FENCES:
            if re.search(pattern, included) and not here.startswith(allowed):
                yield f"{here}:{number}: {included} belongs to {', '.join(allowed)}"


sources = files(".h", ".cc", ".c")
end([finding for path in sources for finding in findings_in(path, path.read_text())], len(sources), "source files")
