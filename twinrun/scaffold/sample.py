"""What the host asks for: the sample submission, and the test images that it names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from twinrun.config.csv_tables import CsvTable
from twinrun.config.data_folder import DataFolder
from twinrun.config.image_ids import Names, image_id, match_values, why_none_match
from twinrun.config.listing import Folder, words_for
from twinrun.errors import InputError, nearest, shorten
from twinrun.joined_ids import may_be_of
from twinrun.names import one_spelling
from twinrun.submission_form import SampleColumns
from twinrun.submission_forms import LikeliestClass, recognise_form
from twinrun.submission_rows import RowPerImage


@dataclass(frozen=True)
class TestFolders:
    """The folders of the test images, and the paths of these images.

    Attributes:
        shared: Whether the folders hold training images too.
    """

    folders: tuple[Folder, ...]
    images: tuple[str, ...]
    shared: bool = False

    @classmethod
    def of(cls, *folders: Folder) -> TestFolders:
        """As a run reads them: of each folder the images in it; where there are none, below it."""
        return cls(folders, tuple(path for folder in folders for path in folder.nearest))

    def asked_by(self, sample: CsvTable) -> TestFolders:
        """Without what is neither a training image nor asked for, where both lie together."""
        if not self.shared:
            return self
        ids = match_values(sample.ids, Names.of(self.images))[0]
        asked = tuple(path for path in self.images if image_id(ids, path) in sample.ids)
        return replace(self, images=asked or self.images)


@dataclass(frozen=True)
class TestData:
    """The sample submission and the test images, or None where one is not there."""

    sample: CsvTable | None
    test: TestFolders | None

    @property
    def columns(self) -> list[str]:
        """The sample's columns after its ids; of one with a row per class these classes."""
        if self.sample is None:
            return []
        classes = _classes_in_rows(self.sample)
        return classes or self.sample.columns[1:]


def choose_test_data(data: DataFolder, test: Sequence[str], problems: list[InputError]) -> TestData:
    """Find the sample submission and the test images; add to `problems` what stands in the way.

    Args:
        data: The data folder.
        test: The folders that the user named.
        problems: Gets an error for each thing that is missing or unclear.
    """
    samples = _samples(data, problems)
    tests = _tests(data, samples, test, problems)
    pairs = [(sample, each) for sample in samples for each in tests if _fits(sample, each)]
    fitting = {sample.path for sample, _ in pairs} or {sample.path for sample in samples}
    asked = [each for each in tests if any(each is found for _, found in pairs)]
    there = _united(asked) if asked else tests
    if len(there) > 1:
        names = [words_for(each.folders) for each in there]
        problems.append(_unclear(data, "the test images", names, "--test"))
    if len(fitting) > 1:
        problems.append(_unclear(data, "the sample submission", list(fitting), "--sample"))
    return TestData(
        next((sample for sample in samples if {sample.path} == fitting), None),
        there[0] if len(there) == 1 else None,
    )


def _united(tests: list[TestFolders]) -> list[TestFolders]:
    """Folders that the sample names images of, as one where no two hold an image of one name."""
    folders = [folder for each in tests for folder in each.folders]
    together = TestFolders.of(*folders)
    several = len(tests) > 1 and len(Names.of(together.images).stems) == len(together.images)
    return [together] if several else tests


def _unclear(data: DataFolder, what: str, names: Sequence[str], option: str) -> InputError:
    return InputError(
        f"{data.root}: {what} may be {' or '.join(sorted(names))}", fix=f"Name it with {option}."
    )


def _samples(data: DataFolder, problems: list[InputError]) -> list[CsvTable]:
    problems += [data.unreadable[path] for path in data.samples if path in data.unreadable]
    samples: list[CsvTable] = []
    for path in data.samples:
        table = data.tables.get(path)
        # A second download of one file is no second candidate.
        if table and not any(table.frame.equals(other.frame) for other in samples):
            samples.append(table)
    if not data.samples:
        others = list(data.tables)
        problems.append(
            InputError(
                f"no sample submission in {data.root}; its CSV files: "
                f"{', '.join(shorten(others)) or 'none'}",
                fix="Name the host's sample submission with --sample: it may lie in any folder.",
            )
        )
    return samples


def _tests(
    data: DataFolder,
    samples: Sequence[CsvTable],
    test: Sequence[str],
    problems: list[InputError],
) -> list[TestFolders]:
    if test:
        return [TestFolders.of(*(data.folder(each, "--test").unwrapped() for each in test))]
    candidates = list(data.listing.named("test"))
    if not candidates:
        # Under any other name: the folder that has the images that a sample names.
        candidates = [
            folder
            for folder in data.listing.walk()
            if folder.images and any(_fits(sample, TestFolders.of(folder)) for sample in samples)
        ]
    if not candidates:
        problems.append(
            InputError(
                f"no folder of test images in {data.root}",
                fix="Name the folder with --test. It may hold the training images too, where a "
                "table of labels names these.",
            )
        )
    filled = [folder.unwrapped() for folder in candidates if folder.total]
    if candidates and not filled:
        places = ", ".join(str(data.root / folder.path) for folder in candidates)
        problems.append(
            InputError(
                f"no image in the test folder {places}",
                fix="Name the folder of the test images with --test.",
            )
        )
    return [TestFolders.of(folder) for folder in filled]


def _fits(sample: CsvTable, folder: TestFolders) -> bool:
    """Whether half of the sample's ids are images of this folder, or half of its images asked."""
    ids, names = sample.ids, Names.of(folder.images)
    found = match_values(ids, names)[1]
    if not found and len(sample.columns) == 2:
        # An id and a class may stand in one text; the classes are not known here.
        ids = may_be_of(ids, names.names | names.stems)
        found = match_values(ids, names)[1]
    return found > 0 and 2 * found >= min(len(ids), len(folder.images))


def _classes_in_rows(sample: CsvTable) -> list[str]:
    """The values of the second of three columns, where each id has a row for each of them."""
    if len(sample.columns) != 3:
        return []
    images, labels = (sample.frame[name] for name in sample.columns[:2])
    rows = set(zip(images, labels, strict=True))
    values = list(dict.fromkeys(labels))
    whole = len(rows) == len(sample.frame) == images.nunique() * len(values)
    return values if whole and len(values) > 1 else []


def refuse_strangers(data: DataFolder, sample: CsvTable, test: TestFolders) -> None:
    """Raise InputError when no id of the sample is a test image's."""
    ids, names = sample.ids, Names.of(test.images)
    if match_values(ids, names)[1]:
        return
    raise InputError(
        f"{data.root / sample.path}: none of its {len(ids):,} ids is an image of "
        f"{words_for(test.folders)} (an id: {min(ids, default='')!r}, an image: "
        f"{test.images[0]!r})",
        fix=why_none_match(ids, names)
        or "Name the right file with --sample, or the right folder with --test.",
    )


def find_form(
    data: DataFolder,
    sample: CsvTable,
    test: TestFolders,
    classes: Sequence[str],
    questions: list[str],
    *,
    named: bool,
) -> tuple[str, CsvTable]:
    """What the sample submission's columns hold.

    Args:
        data: The data folder.
        sample: The sample submission.
        test: The test images.
        classes: That the sample may ask for.
        questions: Gets what the sample leaves open.
        named: Whether the user named the column of labels, so that these are classes.

    Returns:
        The name of that form in FORMS; and the sample with a row per image, and only the ids.

    Raises:
        InputError: Its columns are of no form, or its rows are not the form's.
    """
    where = data.root / sample.path
    columns = sample.columns[1:]
    if not columns:
        raise InputError(
            f"{where} has no column but {sample.columns[0]!r}",
            fix="Fetch the host's file again, or name a different one with --sample.",
        )
    values = {name: frozenset(map(one_spelling, sample.values(name))) for name in columns}
    keys, names = sample.frame[sample.columns[0]].tolist(), Names.of(test.images)
    images = names.names | names.stems | names.paths
    found = recognise_form(SampleColumns(sample.path, keys, images, values, classes))
    if found is None:
        raise _other_classes(str(where), [one_spelling(name) for name in columns], classes)
    form, seen = found
    if isinstance(form, RowPerImage) and len(columns) == 1 and not match_values(keys, names)[1]:
        _refuse_other_ends(where, keys, images, classes)
    if form.name == LikeliestClass.name and not named:
        _refuse_measured(where, columns[0], values[columns[0]], classes)
    questions += seen.open
    ids = sample.frame[sample.columns[:1]]
    if not isinstance(form, RowPerImage):
        asked, problems = form.images(sample.frame, classes, images)
        if problems:
            raise InputError(
                f"{where} asks for {form.words}; what is wrong with its rows:",
                details=shorten(problems),
                fix="Fetch the host's file again, or name a different one with --sample.",
            )
        ids = ids.iloc[: len(asked)].assign(**{sample.columns[0]: asked})
    return form.name, replace(sample, frame=ids)


def _refuse_other_ends(
    where: Path, keys: Sequence[str], images: Collection[str], classes: Sequence[str]
) -> None:
    """Raise InputError when ids hold something beside an image's, which is no class."""
    strange = next((key for key in keys if may_be_of([key], images)), None)
    if strange is not None:
        raise InputError(
            f"{where} has an id and more in one text, such as {strange!r}; what is beside the id "
            f"must be one of the classes, and all of them: {', '.join(shorten(classes))}",
            fix="Let the labels be called as the sample calls its classes: a table of your own may "
            "lie in any folder, name it with --labels.",
        )


def _refuse_measured(
    where: Path, column: str, values: Collection[str], classes: Sequence[str]
) -> None:
    """Raise InputError when a sample asks for a number, as 67.31, and the labels are numbers."""
    try:
        numbers = [float(value) for value in [*classes, *values]][len(classes) :]
    except ValueError:
        return
    measured = [number for number in numbers if number > 1 and number % 1]
    if measured:
        raise InputError(
            f"{where} asks in its column {column!r} for numbers such as {measured[0]:g}, and the "
            "labels are numbers: a task of regression",
            fix="Twinrun trains on one class an image. To train on ranges of the numbers, write a "
            "table with a label for each range, in any folder, and name it with --labels; and a "
            "sample submission of such labels, with --sample. If each number is a class, name the "
            "column of labels with --label-column.",
        )


def _other_classes(where: str, columns: Sequence[str], classes: Sequence[str]) -> InputError:
    none = [name for name in columns if name not in classes]
    problems = [
        f"{name}: a class of the training images without a column, {nearest(name, columns)}"
        for name in classes
        if name not in columns
    ]
    problems += [
        f"{name}: a column, but no such class of training images, {nearest(name, classes)}"
        for name in none
    ]
    return InputError(
        f"the columns of {where} are not the classes of the training images:",
        details=shorten(problem.rstrip(", ") for problem in problems),
        fix=[
            "Let the labels have the names of its columns: a table of your own may lie in any "
            "folder, name it with --labels.",
            *(
                [f"Or, if no training image is of these: --answer unseen={','.join(none)!r}."]
                if none
                else []
            ),
        ],
    )
