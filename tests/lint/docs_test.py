# SPDX-License-Identifier: Apache-2.0
"""Every path a document names exists; every folder of the parts is told about in a README, its own or its part's."""

import re

from tree import PARTS, ROOT, end, files, name

TOPS = PARTS + ("docs", "tests", "tools")
EXAMPLE = re.compile(r"NAME|NNNN|PART")  # stands for any name
PATH = re.compile(r"`((?:" + "|".join(TOPS) + r")/[\w./{},*-]*)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
README_LINES_MAX = 25


def expanded(path):
    """`a/b.{h,cc}` names two files."""
    match = re.search(r"\{([^}]*)\}", path)
    if not match:
        return [path]
    return [one for word in match.group(1).split(",") for one in expanded(path[: match.start()] + word + path[match.end():])]


def missing_in(document):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    for path in PATH.findall(text):
        for one in expanded(path) if not EXAMPLE.search(path) else ():
            if not any(ROOT.glob(one.rstrip("/"))) and not any(ROOT.glob(one + ".*")):
                yield f"{name(document)}: {one} does not exist"
    for link in LINK.findall(text):
        if not (document.parent / link.strip()).exists():
            yield f"{name(document)}: link to {link} leads nowhere"


documents = files(".md")
findings = [finding for document in documents for finding in missing_in(document)]
for part in PARTS:
    for folder in [ROOT / part, *(ROOT / part).glob("*/")] if (ROOT / part).is_dir() else []:
        holds_code = any(folder.glob("*.cc")) or any(folder.glob("*.h"))
        readme, above = folder / "README.md", ROOT / part / "README.md"
        told_above = above.exists() and f"{folder.name}/" in above.read_text()
        if holds_code and not readme.exists() and not told_above:
            findings.append(f"{name(folder)}: no README.md says what is here")
        elif readme.exists() and folder != ROOT / part and len(readme.read_text().splitlines()) > README_LINES_MAX:
            findings.append(f"{name(readme)}: longer than {README_LINES_MAX} lines")
end(findings, len(documents), "documents")
