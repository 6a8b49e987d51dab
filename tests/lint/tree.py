# SPDX-License-Identifier: Apache-2.0
"""What the lints share: the files of the tree, and how a lint ends."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("base", "filters", "dataplane", "control", "vpn", "mgmt", "board")
_SKIPPED_TOPS = {"build", "state", ".git"}
_SKIPPED = {"__pycache__", ".pytest_cache"}


def files(*suffixes, under=("",)):
    """Source files with one of `suffixes` (none: all text files) below the folders `under`, build products left out."""
    found = []
    for folder in under:
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT).parts
            if path.is_file() and inside[0] not in _SKIPPED_TOPS and not _SKIPPED & set(inside) and (not suffixes or path.suffix in suffixes):
                found.append(path)
    return found


def name(path):
    return str(path.relative_to(ROOT))


def without_comments(text):
    """C++ text with comments and string contents blanked, lines kept where they are."""
    def blank(match):
        word = match.group(0)
        return re.sub(r"[^\n]", " ", word) if word.startswith("/") else word[0] + re.sub(r"[^\n]", " ", word[1:-1]) + word[-1]

    return re.sub(r'//[^\n]*|/\*.*?\*/|R"\((?:.|\n)*?\)"|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def end(findings, checked, what):
    """Prints the findings and exits: 0 when there are none. A lint that looked at nothing has failed."""
    for finding in findings:
        print(finding)
    if not checked:
        print(f"nothing to check: no {what} found")
    print(f"{checked} {what} checked, {len(findings)} findings")
    sys.exit(1 if findings or not checked else 0)


def tracked_text_files():
    """Text files git tracks or would track (ignored ones left out); every file when the tree is no checkout."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    paths = [ROOT / line for line in done.stdout.splitlines()] if done.returncode == 0 else files()
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]
