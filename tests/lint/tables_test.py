# SPDX-License-Identifier: Apache-2.0
"""Every alternative of every expression in tests/check/*.table names a test that exists: a test that is renamed takes no promise with it."""

import re
import sys

from tree import ROOT, end, files, name

sys.path.insert(0, str(ROOT / "tests/check"))
import programs  # noqa: E402  (the path above comes first)
import table  # noqa: E402

tests = set(programs.names(ROOT)) | {f"lint/{path.stem.removesuffix('_test')}" for path in (ROOT / "tests/lint").glob("*_test.py")}
for path in files(".py", under=("tests/e2e", "tests/guest")):
    tests |= {f"{path.parent.name}/{path.stem}.{test}" for test in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.M)}
for path in files(".mjs", under=("tests/portal",)):
    tests |= {f"portal/{test}" for test in re.findall(r"\btest\(\s*[\"'`](.+?)[\"'`],", path.read_text())}

findings, checked = [], 0
for path in files(".table", under=("tests/check",)):
    for requirement in table.load(path):
        for alternative in table.alternatives(requirement.expression):
            checked += 1
            # What pytest writes behind a test's name, its parameters, is known when it runs.
            known = re.split(r"\\\[|\.\*", alternative)[0] if not alternative.startswith(("unit/", "path/")) else alternative
            if not any(re.search(known, test) for test in tests):
                findings.append(f"{name(path)}: {requirement.name}: no test matches {alternative}")
end(findings, checked, "alternatives")
