"""Why an image that may be whole was not read: want of memory, a failing disk, a file that changes.

None of that is a property of the image. So it is never taken for damaged, and no setting goes on
without it: another run, or the same one a minute later, would see something else.
"""

from __future__ import annotations

import errno

from twinrun.memory import is_short_of_memory

CHANGED = "it has just been changed"
# How Pillow's decoders say it, in an OSError without a number.
_OUT_OF_MEMORY = "out of memory"
# A damaged file may send its decoder to a place that no file has.
_OF_THE_CONTENT = (errno.EINVAL, errno.EOVERFLOW)
# Nothing is there, or something that nobody here may read: so is the folder, whenever it is read.
_OF_THE_FOLDER = (
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
)


class Hindered(Exception):
    """An image could not be read, and not because of what is in its file; says why."""


def hindrance(error: Exception) -> str:
    """What hindered the reading of an image; empty where its content did."""
    if isinstance(error, Hindered):
        return str(error)
    of_pillow = isinstance(error, OSError) and str(error).startswith(_OUT_OF_MEMORY)
    if of_pillow or is_short_of_memory(error):
        return "it takes more memory than there is"
    if isinstance(error, OSError) and error.errno not in (None, *_OF_THE_CONTENT):
        return error.strerror or str(error)
    return ""


def is_of_the_folder(error: OSError) -> bool:
    """Whether a file of a data folder cannot be opened because of how it lies there."""
    return error.errno in _OF_THE_FOLDER
