"""The shape of audit.json."""

from __future__ import annotations

from typing import Literal

from twinrun.run_folder.shapes import Count, Digest, Shape


class AuditImages(Shape):
    """Images that were looked at."""

    train: Count
    test: Count


class AuditFinding(Shape):
    """What a check of the audit found."""

    check: str
    severity: str
    title: str
    count: Count
    images: list[str]
    details: list[str]


class AuditImage(Shape):
    """An image of a group; the label of a test image is empty."""

    part: str
    id: str
    label: str | None
    path: str


class AuditGroup(Shape):
    """Images that are copies of each other."""

    kind: str
    images: list[AuditImage]
    conflict: bool
    spans: bool


class AuditPolicy(Shape):
    """What the settings ask for where images are copies, and which training images are left out.

    Attributes:
        dropped: By id the SHA-256 of the file of each that the policy leaves out.
        unread: Likewise of each that cannot be read; empty where the file cannot be opened.
    """

    duplicates: str
    conflicts: str
    dropped: dict[str, Digest]
    unread: dict[str, Digest | Literal[""]]


class AuditRecord(Shape):
    """audit.json: what is wrong with the data, and what was done about it."""

    version: Literal[1]
    images: AuditImages
    findings: list[AuditFinding]
    groups: list[AuditGroup]
    policy: AuditPolicy
