"""The audit: what is wrong with the data, which images are copies, and what is done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape

from twinrun.audit import checks
from twinrun.audit.checks import Finding, Severity, counted
from twinrun.audit.duplicate_policy import apply_policy
from twinrun.audit.duplicates import Group, copies, groups_of, look_alikes
from twinrun.audit.fingerprints import fingerprints_of
from twinrun.audit.metadata_leaks import properties_of, telltales
from twinrun.config.settings import Settings
from twinrun.data.cache import readable_pixels, with_pixels
from twinrun.data.index import build_index
from twinrun.data.pixels import Pixels
from twinrun.errors import NegativeVerdict, shorten

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Audit:
    """What the audit has found, and the index as it is trained on.

    Attributes:
        found: Errors first, then warnings, then notes.
        groups: Of copies.
        audited: The index that was looked at: positions in groups are of its rows.
        index: After the policy: without what was dropped, with a column `group`.
        dropped: Ids of training images that the policy drops, sorted.
        policy: The settings of it.
    """

    found: tuple[Finding, ...]
    groups: tuple[Group, ...]
    audited: pd.DataFrame
    index: pd.DataFrame
    dropped: tuple[str, ...]
    policy: Mapping[str, str]

    @property
    def errors(self) -> list[Finding]:
        """What makes training wrong."""
        return [finding for finding in self.found if finding.severity == "error"]

    def in_short(self) -> list[str]:
        """A few lines of rich markup for a run: nothing where there is nothing to say."""
        counts = Counter(finding.severity for finding in self.found)
        if not self.found:
            return []
        told = ", ".join(
            counted(counts[severity], severity) for severity in _SEVERITIES if counts[severity]
        )
        lines = [f"[bold]audit[/]     {told}: `twinrun audit` shows them, audit.json keeps them"]
        if self.groups:
            images = sum(len(group.rows) for group in self.groups)
            dropped = f", {len(self.dropped)} training images dropped" if self.dropped else ""
            lines.append(
                f"          {images:,} images are copies, in {counted(len(self.groups), 'group')}, "
                f'duplicates = "{self.policy["duplicates"]}"{dropped}'
            )
        warnings = [each for each in self.found if each.severity != "note"]
        told_of = [f"[yellow]{each.count:,}[/] {escape(each.title)}" for each in warnings]
        return lines + [f"          {line}" for line in shorten(told_of, 4)]

    def refuse(self) -> None:
        """Raise NegativeVerdict where training on the data would be wrong."""
        if self.errors:
            torn = any(finding.check == "labels" for finding in self.errors)
            raise NegativeVerdict(
                "training on this data would be wrong:",
                details=[
                    line
                    for each in self.errors
                    for line in (f"{each.count}: {each.title}", *shorten(each.details, 20))
                ],
                fix="Fix these images or take them out"
                + (", or set data.conflicts to 'keep' or 'drop'." if torn else "."),
            )

    def content(self) -> dict[str, Any]:
        """As JSON values: what audit.json holds."""
        rows = self.audited[["part", "id", "label", "path"]].to_dict("records")
        return {
            "version": 1,
            "images": {
                part: int((self.audited["part"] == part).sum()) for part in ("train", "test")
            },
            "findings": [
                asdict(each) | {"images": list(each.images), "details": list(each.details)}
                for each in self.found
            ],
            "groups": [
                {
                    "kind": group.kind,
                    "images": [rows[row] for row in group.rows],
                    "conflict": group.conflict,
                    "spans": group.spans,
                }
                for group in self.groups
            ],
            "policy": {**self.policy, "dropped": list(self.dropped)},
        }


def audit_folder(settings: Settings, cache: Path) -> Audit:
    """Audit a data folder; its images are decoded into the cache where they are not there yet.

    Images that cannot be decoded are a finding.

    Raises:
        InputError: The folder is not laid out as the settings say, files cannot be read at all, or
            the cache cannot be written.
    """
    index = build_index(settings)
    pixels, reasons = readable_pixels(index, settings.data_folder, settings.cached_sizes(), cache)
    bad = index["sha256"].isin(reasons)
    lines = {
        str(path): reasons[file]
        for path, file in zip(index["path"][bad], index["sha256"][bad], strict=True)
    }
    index = index[~bad].reset_index(drop=True)
    return audit(with_pixels(index, pixels), pixels, settings, lines)


def audit(
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    settings: Settings,
    unreadable: Mapping[str, str] | None = None,
) -> Audit:
    """Look at all images of an index, and apply the settings' policy.

    Copies are told by the pixels of the largest size.

    Args:
        index: From `with_pixels`.
        pixels: By size, from `cached_pixels`.
        settings: Of the run.
        unreadable: Why images that are not in the index cannot be decoded, by path.

    Raises:
        InputError: The policy leaves a class without an image.
    """
    largest = pixels[max(pixels)]
    signs = fingerprints_of(index, largest, settings.data_folder)
    exact = copies(index, largest.column)
    alike = look_alikes(exact, signs["hash"].tolist(), checks.blank(signs))
    groups = groups_of(index, exact, alike)
    train = (index["part"] == "train").to_numpy()
    properties = properties_of(
        index[train], signs["orientation"].to_numpy()[train], settings.data_folder
    )
    found = [
        *checks.unreadable(unreadable or {}),
        *checks.of_images(index, signs, settings.largest_size()),
        *checks.of_classes(index[train]),
        *checks.of_groups(index, groups, exact, settings),
        *checks.of_telltales(telltales(properties, index["label"][train]), properties),
    ]
    applied = apply_policy(index, groups, exact, settings.data)
    return Audit(
        found=tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))),
        groups=tuple(groups),
        audited=index,
        index=applied.index,
        dropped=applied.dropped,
        policy={"duplicates": settings.data.duplicates, "conflicts": settings.data.conflicts},
    )
