"""Files that survive crashes: named arrays and a JSON header in an uncompressed .npz, written atomically.

Owns: the container (its layout, limits and checks) and atomic replacement. May not know: what is inside.

A file is written under a temporary name in the same folder, flushed to the disk and renamed over the old one, so
a reader sees the old or the new content and never a mixture. Nothing is ever unpickled; sizes are checked against
the file before anything is allocated; each array carries a CRC32 of its own.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ._version import __version__
from .errors import CheckpointError

FORMAT = "ketgrad"
FORMAT_VERSION = 1
HEADER = "header"
_PLAIN = "fiubcU"  # kinds of numpy dtypes a file may hold: numbers and fixed-width text, never objects
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-(?P<count>\d+)\.tmp")
_counter = itertools.count()
_live: set[str] = set()  # temporary files this process is writing now

Arrays = dict[str, npt.NDArray[Any]]


# atomic replacement


def replace_file(path: str | os.PathLike[str], write: Callable[[BinaryIO], None]) -> None:
    """Write a file so that `path` holds either its old or its new content, whatever happens.

    Args:
        path: in an existing folder.
        write: called with an open binary file.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written; the old file is untouched.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.{os.getpid()}-{next(_counter)}.tmp"
    _live.add(temporary.name)
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _live.discard(temporary.name)


def _cannot_write(target: Path, error: OSError) -> CheckpointError:
    kept = "; the previous file is unchanged" if target.exists() else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CheckpointError(
            f"cannot write {target}: no space is left for it ({error.strerror}){kept}. "
            "Free some space or write elsewhere"
        )
    reason = error.strerror or error
    return CheckpointError(f"cannot write {target}: {reason}{kept}. Check that the folder exists and can be written")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; file systems that cannot are left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove temporary files left by processes that died while writing, and return them."""
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(Path(folder).iterdir()):
            match = _TEMPORARY.fullmatch(path.name)
            if match and path.name not in _live and not _alive(int(match["pid"])):
                with contextlib.suppress(OSError):
                    path.unlink()
                    removed.append(path)
    return removed


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # not one of ours: an earlier process had our number
    if os.name != "posix":
        return True  # signal 0 is no mere question elsewhere
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


# the container


def write_archive(
    path: str | os.PathLike[str], kind: str, header: Mapping[str, Any], arrays: Mapping[str, npt.ArrayLike]
) -> None:
    """Write a header and arrays as one file, atomically; equal content gives equal bytes.

    Args:
        kind: what the file is; `read_archive` wants the same word.
        header: JSON values only.
        arrays: numbers, booleans or fixed-width text.

    Raises:
        CheckpointError: it cannot be written; an existing file is untouched.
    """
    members = {name: _to_bytes(name, array) for name, array in arrays.items()}
    full = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "version": __version__,
        "crc32": {name: zlib.crc32(data) for name, data in members.items()},
        "content": dict(header),
    }
    text = json.dumps(full, allow_nan=False).encode()
    first = {HEADER: _to_bytes(HEADER, np.frombuffer(text, dtype=np.uint8))}

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in (first | members).items():
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)

    replace_file(path, write)


def _to_bytes(name: str, value: npt.ArrayLike) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind not in _PLAIN:
        raise CheckpointError(f"array {name!r} has dtype {array.dtype}; a file holds numbers and text only")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    return buffer.getvalue()


def read_archive(path: str | os.PathLike[str], kind: str | tuple[str, ...]) -> tuple[str, dict[str, Any], Arrays]:
    """Read what `write_archive` wrote.

    Args:
        kind: the kind, or kinds, that will do.

    Returns:
        The file's kind, header and arrays.

    Raises:
        CheckpointError: missing, truncated, damaged, of another program, another kind, or a newer version.
    """
    target = Path(path)
    with _explained(target):
        with open(target, "rb") as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            if f"{HEADER}.npy" not in archive.namelist():
                raise _foreign(target)
            members = {i.filename.removesuffix(".npy"): _member(archive, i, size) for i in archive.infolist()}
        full = json.loads(_from_bytes(members.pop(HEADER)).tobytes())
        if not isinstance(full, dict) or full.get("format") != FORMAT:
            raise _foreign(target)
        _check_kind(target, full, (kind,) if isinstance(kind, str) else kind)
        if set(full["crc32"]) != set(members):
            raise ValueError("arrays are missing or added")
        for name, data in members.items():
            if zlib.crc32(data) != full["crc32"][name]:
                raise ValueError(f"checksum of {name!r}")
        return full["kind"], dict(full["content"]), {name: _from_bytes(data) for name, data in members.items()}


def _check_kind(target: Path, full: dict[str, Any], wanted: tuple[str, ...]) -> None:
    found, kind = full["format_version"], full["kind"]
    if found > FORMAT_VERSION:
        raise CheckpointError(
            f"{target} has format {found}, written by ketgrad {full.get('version')}; this ketgrad {__version__} reads "
            f"up to format {FORMAT_VERSION}. Update ketgrad"
        )
    if kind not in wanted:
        raise CheckpointError(f"{target} holds a {kind}, and a {' or '.join(wanted)} is needed here")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes:
    # stored members cannot be larger than the file itself, so no small file can ask for much memory
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ValueError(f"member {info.filename!r} is compressed or longer than the file")
    return archive.read(info)  # zipfile checks its own CRC here


def _from_bytes(data: bytes) -> npt.NDArray[Any]:
    """One .npy from memory; its shape must agree with the number of bytes before anything is allocated."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("version of an array")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    count = 1
    for length in shape:
        count *= length
    if dtype.kind not in _PLAIN or fortran or count * dtype.itemsize != len(data) - stream.tell():
        raise ValueError("kind or length of an array")
    return np.frombuffer(data, dtype=dtype, count=count, offset=stream.tell()).reshape(shape).copy()


def _foreign(target: Path) -> CheckpointError:
    return CheckpointError(f"{target} was not written by ketgrad; give a file made by `ketgrad train` or model.save")


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Any way in which reading can fail, as a CheckpointError that says what to do."""
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{target} does not exist; check the path") from None
    except zipfile.BadZipFile as error:
        if _starts_like_ours(target):
            raise _damaged(target, error) from error
        raise _foreign(target) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {target}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file can fail in any way the zip, npy and JSON readers know
        raise _damaged(target, error) from error


def _starts_like_ours(target: Path) -> bool:
    try:
        with open(target, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def _damaged(target: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{target} is truncated or damaged ({error or type(error).__name__}); "
        "delete it and start anew, or restore a copy"
    )
