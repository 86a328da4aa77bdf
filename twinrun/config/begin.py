"""The files of weights that members begin with: found from the settings, named by their content."""

from __future__ import annotations

from pathlib import Path

from twinrun.config.settings import Settings
from twinrun.config.trainings import fold_number
from twinrun.errors import InputError
from twinrun.files import sha256_file


def with_digests(settings: Settings) -> Settings:
    """Settings in which each member that begins with a file names that file's SHA-256.

    It is what decides bits; where the file lies does not.

    Raises:
        InputError: There is no such file, it cannot be read, or it is another one than the settings
            name; all of them in one message.
    """
    members, mistakes = dict(settings.members), list[str]()
    for name, member in settings.members.items():
        file = settings.begin_file(name)
        if file is None:
            continue
        try:
            found = sha256_file(file)
        except FileNotFoundError as error:
            if member.begin.sha256 is None:  # otherwise a copy may have been kept
                mistakes.append(f"members.{name}.begin: {_unread(file, error)}")
            continue
        except OSError as error:
            mistakes.append(f"members.{name}.begin: {_unread(file, error)}")
            continue
        named = member.begin.sha256
        if named is not None and named != found:
            mistakes.append(f"members.{name}.begin: {file} has the SHA-256 {found}, not {named}")
        begin = member.begin.model_copy(update={"sha256": found})
        members[name] = member.model_copy(update={"begin": begin})
    if mistakes:
        raise InputError(f"{settings.config}: weights to begin with:", details=mistakes)
    return settings.model_copy(update={"members": members})


def _unread(file: Path, error: OSError) -> str:
    names = file.parent.iterdir() if file.parent.is_dir() else ()
    folds = sorted(each for each in names if fold_number(each.name))
    if isinstance(error, FileNotFoundError) and folds:
        return f"{file.parent} has folds: name one of them, such as {folds[0].name}"
    if isinstance(error, FileNotFoundError) and file.parent.is_dir():
        return f"there is no {file}: a file, or the folder of a complete training"
    return f"cannot read {file}: {error.strerror or error}"
