# SPDX-License-Identifier: Apache-2.0
"""Variants of the demonstration's configuration: edited as text, so that they stay documents a person could have written."""

from pathlib import Path


def without_rule(config, rule, folder):
    """The configuration without the lines of `rule`, in both tenants."""
    lines = Path(config).read_text().splitlines(keepends=True)
    kept = [line for line in lines if f"name: {rule}," not in line]
    assert len(kept) == len(lines) - 2, f"{rule}: expected one line a tenant"
    return _written(folder, "without.yaml", "".join(kept))


def with_change(config, old, new, folder, name="changed.yaml"):
    """The configuration with every `old` replaced by `new`."""
    text = Path(config).read_text()
    assert old in text
    return _written(folder, name, text.replace(old, new))


def _written(folder, name, text):
    path = Path(folder) / name
    path.write_text(text)
    return path
