# SPDX-License-Identifier: Apache-2.0
"""Which tests the C++ sources hold, and which program of a build runs each: read from the sources, so known before anything is compiled."""

import re

# How a suite with parameters gets the name before it; tests/path/path_test.h has a word of its own for that.
_INSTANCE = re.compile(r"(?:INSTANTIATE_(?:TYPED_)?TEST_SUITE_P\(\s*(\w+),\s*|SEKISHO_PATH_WORKERS\()(\w+)")
_TEST = re.compile(r"^\s*(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", re.M)


def _groups(tree):
    """(program, what its tests' names begin with, its sources): the rules of tests/CMakeLists.txt and tests/path/CMakeLists.txt."""
    for folder in sorted((tree / "tests/unit").iterdir()):
        yield f"unit_{folder.name}", "unit/", sorted(folder.rglob("*_test.cc"))
    yield "path_tests", "path/", sorted((tree / "tests/path").glob("*_test.cc"))
    for folder in sorted(path for path in (tree / "tests/path").iterdir() if path.is_dir()):
        yield f"path_{folder.name}", f"path/{folder.name}/", sorted(folder.glob("*_test.cc"))


def names(tree):
    """{name as ctest gives it, or its beginning: program}. Values of parameters are known to a program that runs alone: where a program has
    some, every word in quotes of its sources may be one. So a name may be here that no test has, and none that a test has is missing."""
    found = {}
    for program, prefix, paths in _groups(tree):
        text = "\n".join(path.read_text() for path in paths)
        instances = {}
        for instance, suite in _INSTANCE.findall(text):
            instances.setdefault(suite, set()).add(instance or "Workers")
        for suite, test in _TEST.findall(text):
            for name in [f"{suite}.{test}", *(f"{instance}/{suite}.{test}/" for instance in instances.get(suite, ()))]:
                found[prefix + name] = program
        if instances:
            found.update({f"{prefix}{word}": program for word in re.findall(r'"(\w+)"', text) if f"{prefix}{word}" not in found})
    for path in sorted((tree / "tests/fuzz").glob("*_fuzz.cc")):
        found[f"fuzz/{path.stem.removesuffix('_fuzz')}"] = path.stem
    return found


def needed(tree, expressions):
    """The programs, as targets of the build, whose tests match one of `expressions`."""
    chosen = {program for name, program in names(tree).items() if any(re.search(expression, name) for expression in expressions)}
    seeders = {program.removesuffix("_fuzz") + "_seeds" for program in chosen if program.endswith("_fuzz")}
    return sorted(chosen | {seeder for seeder in seeders if (tree / f"tests/fuzz/{seeder}.cc").exists()})
