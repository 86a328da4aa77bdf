"""The audit: what is wrong with the data, which images are copies, and what is done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from twinrun.audit.check import AuditedData, Finding, Severity, blank_images
from twinrun.audit.checks import CHECKS
from twinrun.audit.duplicate_policy import apply_policy
from twinrun.audit.duplicates import Group, copies, duplicate_groups, look_alikes
from twinrun.audit.fingerprints import fingerprint_images
from twinrun.config.settings import Settings
from twinrun.console import Line, count_of, say
from twinrun.data.cache import cache_readable_pixels, with_pixels
from twinrun.data.decode_settings import DecodeSettings
from twinrun.data.index import list_images
from twinrun.data.passed_over import passed_over
from twinrun.data.pixels import Pixels
from twinrun.data.unread import LeftOut, left_out
from twinrun.errors import NegativeVerdict, shorten
from twinrun.image_formats import Other

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
        unread: Of training images that cannot be read the SHA-256 of the file by id.
        policy: The settings of it.
    """

    found: tuple[Finding, ...]
    groups: tuple[Group, ...]
    audited: pd.DataFrame
    index: pd.DataFrame
    dropped: tuple[str, ...]
    unread: Mapping[str, str]
    policy: Mapping[str, str]

    @property
    def errors(self) -> list[Finding]:
        """What makes training wrong."""
        return [finding for finding in self.found if finding.severity == "error"]

    def summary(self) -> list[Line]:
        """A few lines for a run: nothing where there is nothing to report."""
        counts = Counter(finding.severity for finding in self.found)
        if not self.found:
            return []
        severities = ", ".join(
            count_of(counts[severity], severity) for severity in _SEVERITIES if counts[severity]
        )
        lines: list[Line] = [
            (
                ("audit", "bold"),
                f"     {severities}: `twinrun audit` shows them, audit.json keeps them",
            )
        ]
        if self.groups:
            images = sum(len(group.rows) for group in self.groups)
            groups = count_of(len(self.groups), "group")
            dropped = f", {len(self.dropped)} training images dropped" if self.dropped else ""
            policy = f'duplicates = "{self.policy["duplicates"]}"{dropped}'
            lines.append((f"          {images:,} images are copies, in {groups}, {policy}",))
        warnings = [each for each in self.found if each.severity != "note"]
        shown = warnings[:4]
        lines += [("          ", (f"{each.count:,}", "yellow"), f" {each.title}") for each in shown]
        more = len(warnings) - len(shown)
        return [*lines, (f"          ... and {more} more",)] if more else lines

    def refuse(self) -> None:
        """Raise NegativeVerdict where training on the data would be wrong."""
        if self.errors:
            raise NegativeVerdict(
                "training on this data would be wrong:",
                details=[
                    line
                    for each in self.errors
                    for line in (f"{each.count}: {each.title}", *shorten(each.details, 20))
                ],
                fix=" ".join(dict.fromkeys(CHECKS.get(each.check).fix for each in self.errors)),
            )

    def content(self) -> dict[str, Any]:
        """As JSON values: what audit.json holds."""
        rows = self.audited[["part", "id", "label", "path"]].to_dict("records")
        train = self.audited[self.audited["part"] == "train"]
        digests = dict(zip(train["id"], train["sha256"], strict=True))
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
            "policy": {
                **self.policy,
                "dropped": {image: digests[image] for image in self.dropped},
                "unread": dict(self.unread),
            },
        }


def audit_folder(settings: Settings, cache: Path) -> Audit:
    """Audit a data folder; its images are decoded into the cache where they are not there yet.

    Images that cannot be read are a finding.

    Raises:
        InputError: The folder is not laid out as the settings say, or the cache cannot be written.
    """
    said: list[str] = []
    index, unreadable = list_images(settings, said)
    for line in said:
        say(f"note      {line}")
    pixels, reasons = cache_readable_pixels(
        index,
        settings.data_folder,
        settings.cached_sizes(),
        cache,
        how=DecodeSettings.of(settings),
    )
    unreadable |= reasons
    left = left_out(index, unreadable)
    passed = passed_over(settings, index["path"])
    index = index[~index["path"].isin(unreadable)].reset_index(drop=True)
    return audit(with_pixels(index, pixels), pixels, settings, left, passed)


def audit(
    index: pd.DataFrame,
    pixels: Mapping[int, Pixels],
    settings: Settings,
    left: LeftOut = LeftOut(),  # noqa: B008  (frozen)
    passed: Mapping[str, Other] | None = None,
) -> Audit:
    """Look at all images of an index, and apply the settings' policy.

    Copies are found by the pixels of the largest size.

    Args:
        index: From `with_pixels`.
        pixels: By size, from `cache_pixels`.
        settings: Of the run.
        left: The images that are not in the index because they cannot be read.
        passed: From `passed_over`.

    Raises:
        InputError: The policy leaves a class without an image.
    """
    largest = pixels[max(pixels)]
    others = {path: str(other) for path, other in (passed or {}).items()}
    fingerprints = fingerprint_images(index, largest)
    exact = copies(index, largest.column)
    alike = look_alikes(exact, fingerprints["hash"].tolist(), blank_images(fingerprints))
    groups = duplicate_groups(index, exact, alike)
    data = AuditedData(
        index, fingerprints, exact, groups, settings, left.reasons, others, largest.scale
    )
    found = [finding for check in CHECKS for finding in check.find(data)]
    applied = apply_policy(index, groups, exact, settings.data)
    return Audit(
        found=tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))),
        groups=tuple(groups),
        audited=index,
        index=applied.index,
        dropped=applied.dropped,
        unread=left.train,
        policy={"duplicates": settings.data.duplicates, "conflicts": settings.data.conflicts},
    )
