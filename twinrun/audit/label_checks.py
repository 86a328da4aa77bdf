"""Checks of the classes: too few images of one, and files that give one away."""

from __future__ import annotations

from collections import defaultdict

from twinrun.audit.check import AuditedData, Check, Finding
from twinrun.audit.metadata_leaks import file_properties, metadata_leaks
from twinrun.data.image_count import ImageCount
from twinrun.errors import shorten


class Single(Check):
    """Classes of which a fold or a validation part may know nothing."""

    name = "single"
    severity = "warning"
    title = "classes with one image: it is trained on or held out, never both"
    meaning = "a class has one training image, or copies of one that are held out together"

    def find(self, data: AuditedData) -> list[Finding]:
        train = data.index[data.train]
        photos: dict[str, list[int]] = defaultdict(list)
        for name, photo in zip(train["label"], data.photos[data.train].tolist(), strict=True):
            photos[name].append(photo)
        counts = {name: ImageCount.of(listed) for name, listed in photos.items()}
        alone = {name: count.all for name, count in counts.items() if count.distinct == 1}
        if not alone:
            return []
        paths = train.loc[train["label"].isin(list(alone)), "path"]
        lines = [
            name if images == 1 else f"{name}: {images} copies of one image"
            for name, images in sorted(alone.items())
        ]
        return [self.finding(len(alone), tuple(paths), lines)]


class MetadataLeaks(Check):
    """A finding for each property of the files that gives classes away."""

    name = "metadata-leak"
    severity = "warning"
    title = "a property of the files gives the class away"
    meaning = (
        "extension, format, mode, EXIF orientation, size, rough size, rough shape or the day of "
        "the last change gives a class away"
    )

    def find(self, data: AuditedData) -> list[Finding]:
        train = data.index[data.train]
        properties = file_properties(train, data.settings.data_folder)
        copies = ImageCount.of(data.photos[data.train].tolist()).without_copies
        once = ", copies counted once," if copies else ""
        leaks = metadata_leaks(properties, train["label"], data.photos[data.train])
        findings = []
        for name in dict.fromkeys(leak.name for leak in leaks):
            own = [leak for leak in leaks if leak.name == name]
            details = [
                f"{leak.value}: {leak.hits} of {leak.images}{once} are {leak.label}, which are "
                f"{leak.share:.0%} of all (by chance: {leak.chance:.0e})"
                for leak in own
            ]
            findings.append(
                self.finding(
                    int(properties[name].isin([leak.value for leak in own]).sum()),
                    details=shorten(details),
                    title=f"the {name} gives the class away; so may what comes with it, such as a "
                    "different camera",
                )
            )
        return findings
