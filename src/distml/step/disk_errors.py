"""Errors of this machine's disk, whoever reports them: TensorFlow turns them into exceptions of its own."""

import errno
import os
import re

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def cause(error: BaseException | None) -> OSError | None:
    """The error of the disk that led to `error`, if one did."""
    while error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error
        for number in DISK_ERRORS:
            # Such as "{{function_node …}} /volume/checkpoint.data; No space left on device [Op:SaveV2]".
            if found := re.search(rf"(\S*); {os.strerror(number)}", str(error)):
                return OSError(number, os.strerror(number), found[1] or None)
        error = error.__cause__ or error.__context__
    return None
