"""Files that survive crashes: round trips, damage of every kind, full disks, stale temporary files."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from ketgrad import checkpoint
from ketgrad.checkpoint import read_archive, replace_file, sweep, write_archive
from ketgrad.errors import CheckpointError

ARRAYS = {
    "floats": np.array([[1.5, -0.0], [np.inf, np.nan]]),
    "complex": np.array([1 + 2j, 3e-300j]),
    "integers": np.arange(5, dtype=np.uint8),
    "number": np.array(7),
    "empty": np.zeros((0, 3)),
    "text": np.array(["a", "größer"]),
    "strided": np.arange(12.0).reshape(3, 4).T[::2],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.npz"
    write_archive(path, "thing", {"x": [1, "two", None], "big": 2**127}, ARRAYS)
    return path


def test_round_trip_is_exact(file: Path) -> None:
    kind, header, arrays = read_archive(file, ("other", "thing"))
    assert kind == "thing"
    assert header == {"x": [1, "two", None], "big": 2**127}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert arrays[name].tobytes() == np.ascontiguousarray(array).tobytes()
        assert arrays[name].flags.writeable


def test_equal_content_gives_equal_bytes(file: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.npz", "thing", {"x": [1, "two", None], "big": 2**127}, ARRAYS)
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_numpy_can_read_it_without_pickle(file: Path) -> None:
    with np.load(file, allow_pickle=False) as archive:
        assert np.array_equal(archive["complex"], ARRAYS["complex"])


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'bad' has dtype object"):
        write_archive(tmp_path / "x", "thing", {}, {"bad": np.array([{}], dtype=object)})
    assert not list(tmp_path.iterdir())


def test_truncation_at_any_byte_is_noticed(file: Path) -> None:
    data = file.read_bytes()
    for length in range(0, len(data), 13):
        file.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"truncated or damaged|not written by ketgrad"):
            read_archive(file, "thing")


def test_a_flipped_bit_never_changes_what_is_read(file: Path) -> None:
    data = bytearray(file.read_bytes())
    _, header, arrays = read_archive(file, "thing")
    for position in range(0, len(data), 7):
        data[position] ^= 0x10
        file.write_bytes(data)
        data[position] ^= 0x10
        try:
            _, got_header, got = read_archive(file, "thing")
        except CheckpointError:
            continue
        assert got_header == header  # a bit of no consequence, such as a date in the zip directory
        assert all(got[name].tobytes() == arrays[name].tobytes() for name in arrays)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not written by ketgrad"),
        (b"hello, this is text", "not written by ketgrad"),
        (b"PK\x03\x04 and then nothing", "truncated or damaged"),
        (os.urandom(4096), "not written by ketgrad"),
    ],
)
def test_junk(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "junk"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_archive(path, "thing")


def test_foreign_archives(tmp_path: Path) -> None:
    path = tmp_path / "foreign.npz"
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(CheckpointError, match="not written by ketgrad"):
        read_archive(path, "thing")
    np.savez(path, header=np.frombuffer(b'{"format": "other"}', dtype=np.uint8))
    with pytest.raises(CheckpointError, match="not written by ketgrad"):
        read_archive(path, "thing")


def test_missing_directory_and_wrong_kind(file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_archive(tmp_path / "none.npz", "thing")
    with pytest.raises(CheckpointError, match="cannot read"):
        read_archive(tmp_path, "thing")
    with pytest.raises(CheckpointError, match="holds a thing, and a model is needed"):
        read_archive(file, "model")


def test_a_newer_format_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 99)
    write_archive(file, "thing", {}, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has format 99.*Update ketgrad"):
        read_archive(file, "thing")


def forge(path: Path, member: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """A file with a valid header and one array of our choice."""
    header = {"format": "ketgrad", "format_version": 1, "kind": "thing", "version": "0", "content": {}}
    header["crc32"] = {"a": zlib.crc32(member)}
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("header.npy", buffer.getvalue())
        archive.writestr("a.npy", member)


def npy(shape: str, descr: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(1000000000000,)", "'<f8'"),
        npy("(2,)", "'<f8'", b"12345678"),
        npy("(-1,)", "'<f8'", b"12345678"),
        npy("(1,)", "'|O'", b"\x80\x04N."),
        npy("(1,)", "__import__('os')", b"12345678"),
        b"no npy at all",
    ],
    ids=["huge shape", "short", "negative", "pickle", "code", "junk"],
)
def test_forged_arrays(tmp_path: Path, member: bytes) -> None:
    path = tmp_path / "forged.npz"
    forge(path, member)
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_archive(path, "thing")


def test_a_compressed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    forge(path, npy("(4000000,)", "'<f8'", bytes(32_000_000)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="compressed or longer than the file"):
        read_archive(path, "thing")


def test_a_forged_archive_of_good_form_is_read(tmp_path: Path) -> None:
    forge(tmp_path / "good.npz", npy("(1,)", "'<f8'", np.array([2.5]).tobytes()))
    assert read_archive(tmp_path / "good.npz", "thing")[2]["a"] == [2.5]  # so the forgeries fail for their own reasons


# writing


def test_a_full_disk_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="no space is left.*the previous file is unchanged.*Free some space"):
        write_archive(file, "thing", {}, {"a": np.zeros(10)})
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


@pytest.mark.skipif(os.name != "posix", reason="resource limits are POSIX")
def test_a_real_limit_on_the_file_size(file: Path) -> None:
    before = file.read_bytes()
    code = (
        "import resource, sys, numpy as np; from ketgrad.checkpoint import write_archive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "write_archive(sys.argv[1], 'thing', {}, {'a': np.zeros(100_000)})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "no space is left" in done.stderr
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write .*Check that the folder exists"):
        write_archive(tmp_path / "no" / "file", "thing", {}, {})


def test_an_error_of_the_writer_passes_and_leaves_nothing(tmp_path: Path) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        replace_file(tmp_path / "x", broken)
    assert not list(tmp_path.iterdir())


def test_sweep_removes_only_what_the_dead_left(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale = [tmp_path / f".a.npz.{dead.pid}-3.tmp", tmp_path / f".b.npz.{os.getpid()}-99999.tmp"]
    kept = [tmp_path / f".a.npz.{os.getppid()}-0.tmp", tmp_path / "a.npz", tmp_path / ".a.npz.x-1.tmp"]
    for path in (*stale, *kept):
        path.touch()
    assert sorted(sweep(tmp_path)) == sorted(stale)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert sweep(tmp_path / "missing") == []


def test_sweep_spares_the_file_being_written(tmp_path: Path) -> None:
    replace_file(tmp_path / "x", lambda file: [sweep(tmp_path), file.write(b"1")] and None)
    assert (tmp_path / "x").read_bytes() == b"1"
