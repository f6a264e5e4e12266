"""Disk errors behind other exceptions: TensorFlow reports them in exceptions of its own."""

import errno
import os
import re

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def cause(error: BaseException | None) -> OSError | None:
    """Return the disk error that led to `error`, or None."""
    while error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error
        for number in DISK_ERRORS:
            # TensorFlow writes "{{function_node …}} /volume/checkpoint.data; No space left on device [Op:SaveV2]".
            if found := re.search(rf"(\S*); {os.strerror(number)}", str(error)):
                return OSError(number, os.strerror(number), found[1] or None)
        error = error.__cause__ or error.__context__
    return None
