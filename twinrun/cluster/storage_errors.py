"""Why a storage cannot be used, in one sentence, and what to do about it."""

from __future__ import annotations

import errno

from twinrun.errors import InputError
from twinrun.files import FULL

# Names of classes: the packages that they come from are imported only by who uses that store.
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "DefaultCredentialsError",
    "RefreshError",
    "ClientAuthenticationError",
}
_UNREACHABLE = {
    "ConnectionError",
    "HTTPClientError",
    "ClientConnectionError",
    "TimeoutError",
    "ServiceRequestError",
}


def refusal(address: str, doing: str, error: Exception, *, missing: bool = False) -> InputError:
    """The error for a storage that cannot be used.

    Args:
        address: Of the storage.
        doing: What was asked of it: "read", "written to".
        error: What its package raised, after its own retries.
        missing: The whole place is not there.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    code = error.errno if isinstance(error, OSError) else None
    local = "://" not in address
    reason, fix = _reason(error), "Fix that, and rerun the command."
    if missing:
        fix = "Create the bucket, or correct the address."
    elif kinds & _NO_CREDENTIALS:
        fix = (
            "Give credentials as that store's own tools take them, on every node: "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; for gs:// "
            "GOOGLE_APPLICATION_CREDENTIALS (docs/storage.md of Twinrun)."
        )
    elif isinstance(error, PermissionError) or code == errno.EROFS:
        fix = (
            "Choose a folder that may be read and written to by you, on every node."
            if local
            else "See that the credentials are the right ones and have not expired; they need the "
            "right to list, read, write and delete there."
        )
    elif code in FULL:
        fix = "Free some space there, and rerun the command."
    elif isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
        fix = "Name a folder, and nothing that is a file."
    elif kinds & _UNREACHABLE:
        fix = (
            "See that the network is up and, for a store that is not Amazon's, that "
            "AWS_ENDPOINT_URL is right; then rerun the command."
        )
    return InputError(f"{address} cannot be {doing}: {reason}", fix=fix)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer within the time for it"
    return " ".join(str(error).split()) or type(error).__name__
