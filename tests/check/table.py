# SPDX-License-Identifier: Apache-2.0
"""Requirements and the tests that show them: see README.md."""

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Requirement:
    """One line of a table. `results`: {test name: passed, failed or skipped} of the tests it names."""

    name: str
    sentence: str
    expression: str
    heading: str
    results: dict = field(default_factory=dict)

    def verdict(self):
        """Empty when shown, else why not: a test that failed or was skipped, an alternative of the expression that no test showed."""
        if not self.results:
            return "no test matches"
        for bad in ("failed", "skipped"):
            count = sum(result == bad for result in self.results.values())
            if count:
                return f"{count} of {len(self.results)} tests {bad}"
        unseen = [alternative for alternative in alternatives(self.expression) if not any(re.search(alternative, name) for name in self.results)]
        return f"no test matches {', '.join(unseen)}" if unseen else ""

    def broken(self):
        """Whether it is not shown though no test failed: nobody else counts that."""
        return bool(self.verdict()) and "failed" not in self.results.values()


_INNERMOST = re.compile(r"(?<!\\)\(((?:\\.|[^()\\])*)\)")


def alternatives(expression):
    """What an expression of words, dots and groups stands for: `a(b|c)|d` is ab, ac and d."""
    depth, branches = 0, [""]
    for token in re.findall(r"\\.|.", expression):
        depth += (token == "(") - (token == ")")
        if token == "|" and depth == 0:
            branches.append("")
        else:
            branches[-1] += token
    found = {}
    for branch in branches:
        group = _INNERMOST.search(branch)
        words = re.split(r"(?<!\\)\|", group[1]) if group else []
        ways = [one for word in words for one in alternatives(branch[:group.start()] + word + branch[group.end():])]
        found |= dict.fromkeys(ways or [branch])
    return list(found)


def load(path):
    """The requirements of a table, in order."""
    heading, found = "", []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.strip():
            cells = [cell.strip() for cell in line.split("|", 2)]
            if len(cells) != 3:
                raise ValueError(f"{path}:{number}: id | sentence | expression")
            if re.search(r"\)[?*+{]", re.compile(cells[2]).pattern):
                raise ValueError(f"{path}:{number}: a group may not be repeated or left out: alternatives() does not know that")
            found.append(Requirement(*cells, heading))
    return found


def assign(requirements, results):
    """Gives every requirement the results, {name: result}, of the tests it names."""
    for requirement in requirements:
        expression = re.compile(requirement.expression)
        requirement.results = {name: result for name, result in results.items() if expression.search(name)}


def write(requirements, out):
    """Prints the table; returns how many requirements are not shown."""
    heading, missing = None, 0
    for requirement in requirements:
        if requirement.heading != heading:
            heading = requirement.heading
            print(f"\n{heading}", file=out)
        verdict = requirement.verdict()
        missing += bool(verdict)
        passed = sum(result == "passed" for result in requirement.results.values())
        print(f"  {requirement.name:<20} {requirement.sentence:<98} {passed:4} tests  {'ok' if not verdict else 'NOT SHOWN: ' + verdict}", file=out)
        for name, result in requirement.results.items():
            if result == "failed":
                print(f"       failed: {name}", file=out)
    print(f"\n{len(requirements)} requirements: {len(requirements) - missing} shown, {missing} not shown", file=out)
    return missing
