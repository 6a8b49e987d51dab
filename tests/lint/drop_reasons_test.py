# SPDX-License-Identifier: Apache-2.0
"""Every drop reason is written by the code somewhere and named by some test."""

import re

from tree import ROOT, end, files, without_comments

header = (ROOT / "filters/drop_reason.h").read_text()
reasons = [reason for reason in re.findall(r"X\((k\w+), \"", header) if reason != "kNone"]
tests = "\n".join(path.read_text() for path in files(".cc", ".h", ".py", under=("tests",)) if "lint" not in path.parts)
code = "\n".join(without_comments(path.read_text()) for path in files(".cc", ".h", under=("filters", "dataplane"))
                 if path.name not in ("drop_reason.h", "drop_reason.cc"))
names = dict(re.findall(r"X\((k\w+), \"([^\"]+)\"", header))

words_of_tests, words_of_code = (set(re.findall(r"\bk\w+", text)) for text in (tests, code))
findings = [f"{reason}: no test names it" for reason in reasons if reason not in words_of_tests and f'"{names[reason]}"' not in tests]
findings += [f"{reason}: no code uses it" for reason in reasons if reason not in words_of_code]
end(findings, len(reasons), "drop reasons")
