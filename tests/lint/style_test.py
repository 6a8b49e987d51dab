# SPDX-License-Identifier: Apache-2.0
"""Function length, words that mark unfinished work or this machine, licence headers, line length."""

import re

from tree import PARTS, ROOT, end, files, name, tracked_text_files, without_comments

FUNCTION_LINES_MAX = 80
LINE_COLUMNS_MAX = 140  # 120 is the habit
LICENCES = {"base/": "BSD-2-Clause", "vpn/ike/": "GPL-2.0-or-later"}  # vpn/ike is one program with libcharon
# Split so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
MACHINE = re.compile(r"/(?:wor" + r"k|hom" + r"e)/[a-z]|/tmp/sk" + r"b\b")


def long_functions(path):
    """A function body is a brace block at namespace or class level; `) ... {` opens it."""
    text = without_comments(path.read_text())
    depth_kinds, start = [], None
    statement = ""
    for number, line in enumerate(text.splitlines(), 1):
        for character in line + "\n":
            if character == "{":
                outer = all(kind == "scope" for kind in depth_kinds)
                words = statement.strip()
                scope = re.search(r"\b(namespace|class|struct|enum|union|extern)\b[^()]*$", words) or words.endswith("=")
                if outer and not scope and ")" in words:
                    start = (number, len(depth_kinds))
                depth_kinds.append("scope" if scope else "block")
                statement = ""
            elif character == "}":
                if depth_kinds:
                    depth_kinds.pop()
                if start and len(depth_kinds) == start[1]:
                    if number - start[0] + 1 > FUNCTION_LINES_MAX:
                        yield f"{name(path)}:{start[0]}: function of {number - start[0] + 1} lines (at most {FUNCTION_LINES_MAX})"
                    start = None
                statement = ""
            elif character == ";":
                statement = ""
            else:
                statement += character


def licence(path, text):
    wanted = next((licence for folder, licence in LICENCES.items() if name(path).startswith(folder)), "Apache-2.0")
    found = re.search(r"SPDX-License-Identifier: (\S+)", "\n".join(text.splitlines()[:3]))
    if not found or found.group(1) != wanted and not name(path).startswith("tests/unit/base/"):  # tests of base: either
        yield f"{name(path)}: no 'SPDX-License-Identifier: {wanted}' in its first lines"


def words(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern in (UNFINISHED, MACHINE):
            if match := pattern.search(line):
                yield f"{name(path)}:{number}: '{match.group(0)}'"


code = files(".h", ".cc", ".c", ".proto", under=PARTS + ("tests",))
pages = files(".ts", ".tsx", ".css", ".mjs", ".html", ".svg", under=("mgmt", "tests"))
scripts = [path for path in files(under=("board", "tools", "tests")) if path.suffix in (".py", ".sh", "") and path.read_bytes()[:2] == b"#!" or path.suffix == ".py"]
findings = []
for path in code:
    text = path.read_text()
    findings += licence(path, text)
    findings += [f"{name(path)}:{number}: {len(line)} columns (at most {LINE_COLUMNS_MAX})"
                 for number, line in enumerate(text.splitlines(), 1) if len(line) > LINE_COLUMNS_MAX and path.suffix != ".proto" and name(path).startswith(PARTS)]
    if path.suffix in (".h", ".cc", ".c"):
        findings += long_functions(path)
for path in pages:
    text = path.read_text()
    findings += licence(path, text)
    findings += [f"{name(path)}:{number}: {len(line)} columns (at most {LINE_COLUMNS_MAX})"
                 for number, line in enumerate(text.splitlines(), 1) if len(line) > LINE_COLUMNS_MAX and path.suffix in (".ts", ".tsx", ".css")]
for path in scripts:
    findings += licence(path, path.read_text())
for path in tracked_text_files():
    if "corpus" not in path.parts and "LICENSES" not in path.parts:
        findings += words(path, path.read_text(errors="replace"))
end(findings, len(code) + len(pages) + len(scripts), "files")
