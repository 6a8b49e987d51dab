# SPDX-License-Identifier: Apache-2.0
"""Instructions a packet, of the established path and of packets that end early, against the ceilings in instructions.json. Exit 0: none is more than 5 % above its own;
1: one is; 77: callgrind is not here, or this build type has no ceilings.

callgrind runs DPDK as it is (no hugepages, AVX2 at most); it counts what the code does, not how long it takes, so load and clock do not
matter. Only the random hash seed moves a count, by well under 1 %. --write makes the counts of this build the ceilings.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CEILINGS = Path(__file__).with_name("instructions.json")
SLACK = 1.05
SKIPPED = 77
FUNCTIONS_SHOWN = 12


def run(program, folder):
    """Runs the program in callgrind; returns (its output, case -> total instructions, case -> file)."""
    eal = ["-l", "0", "--no-pci", "--no-huge", "-m", "256", "--force-max-simd-bitwidth=256", "--log-level=3"]
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no", f"--callgrind-out-file={folder}/counts", str(program.resolve()), *eal]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit("instructions: " + "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:]))
    totals, files = {}, {}
    for path in sorted(Path(folder).glob("counts.*")):
        text = path.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.M)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.M)
        if name and total:
            totals[name.group(1)], files[name.group(1)] = int(total.group(1)), path
    return done.stdout, totals, files


def costliest(path, packets):
    """The functions that cost most, for whoever has to find what crept in."""
    done = subprocess.run(["callgrind_annotate", str(path)], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if re.match(r"\s*[\d,]+ \(\s*[\d.]+%\)\s+\S+:", line)]
    for line in lines[:FUNCTIONS_SHOWN]:
        count, where = re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)", line).groups()
        yield f"    {int(count.replace(',', '')) / packets:7.1f}  {where[:150]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--build", required=True, help="CMAKE_BUILD_TYPE the program was built with")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--functions", action="store_true", help="show where the instructions are")
    arguments = parser.parse_args()
    ceilings = json.loads(CEILINGS.read_text()) if CEILINGS.exists() else {}
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed")
        return SKIPPED
    if arguments.build not in ceilings and not arguments.write:
        print(f"skipped: no ceilings for build type {arguments.build}")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        output, totals, files = run(arguments.program, folder)
        packets = {name: int(count) for name, count in re.findall(r"^(.+): (\d+) packets counted$", output, re.M)}
        if not packets or packets.keys() != totals.keys():
            sys.exit(f"instructions: counted {sorted(totals)}, expected {sorted(packets)}")
        counts = {name: totals[name] / packets[name] for name in packets}
        above = []
        for name, count in counts.items():
            ceiling = ceilings.get(arguments.build, {}).get(name)
            if ceiling is not None and count > ceiling * SLACK:
                above.append(name)
            print(f"{name}: {count:.1f} instructions a packet" + (f", ceiling {ceiling} + 5 %" if ceiling else ", no ceiling"))
            if arguments.functions or name in above:
                print("\n".join(costliest(files[name], packets[name])))
    if arguments.write:
        ceilings[arguments.build] = {name: round(count) for name, count in counts.items()}
        CEILINGS.write_text(json.dumps(ceilings, indent=2, sort_keys=True) + "\n")
        return 0
    for name in above:
        print(f"{name}: more than 5 % above its ceiling; if that is the price of something wanted, set the new ceiling with --write and say why")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
