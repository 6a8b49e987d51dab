# SPDX-License-Identifier: Apache-2.0
"""Lays the results out as one readable table."""

WIDTH = 118


def number(value, digits=1):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or digits == 0 else f"{value:.{digits}f}"


def best_median(values, digits=1):
    """"best / median" of a list of rounds."""
    if not values:
        return "-"
    ordered = sorted(values)
    return f"{number(ordered[0], digits)} / {number(ordered[len(ordered) // 2], digits)}"


def best(values):
    return min(values) if values else None


def ratio(ours, theirs):
    return f"{theirs / ours:.2f}x" if ours and theirs else "-"


def section(title):
    print(f"\n{title}\n" + "-" * min(len(title), WIDTH))


def table(head, rows):
    """First column to the left, the others to the right."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths))))


def notes(lines):
    for line in lines:
        print(f"  {line}")
