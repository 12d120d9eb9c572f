"""A file system of the kind that counts as one of the network, fuse(4): a folder with one file.

    python -m tests.gdwatch.intake.network_disk FOLDER

mounts it there, says `mounted`, and serves it until it is unmounted.
"""

import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAME = b"theirs.jpg"
_ROOT, _FILE = 1, 2
_LOOKUP, _FORGET, _GETATTR, _INIT, _OPENDIR, _READDIR, _BATCH_FORGET = 1, 2, 3, 26, 27, 28, 42
_REQUEST = struct.Struct("=IIQQ16x")  # length, operation, id, inode; linux/fuse.h
_VALID_S = struct.pack("=QI4x", 3600, 0)


@contextmanager
def network_disk(folder: Path) -> Iterator[None]:
    """Such a disk, mounted on a folder meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, folder], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        if said != "mounted\n":
            pytest.skip(f"not allowed here: {said}")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
            server.wait(60)


def main() -> None:
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"test", os.fsencode(sys.argv[1]), b"fuse.test", 0, options) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    except OSError as error:
        print(error)
        return
    print("mounted", flush=True)
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            raise
        _, operation, number, inode = _REQUEST.unpack_from(request)
        if operation in (_FORGET, _BATCH_FORGET):
            continue
        answer = _answer(operation, inode, request[40:])
        code, content = (-answer, b"") if isinstance(answer, int) else (0, answer)
        os.write(device, struct.pack("=IiQ", 16 + len(content), code, number) + content)


def _answer(operation: int, inode: int, given: bytes) -> bytes | int:
    """What there is to say, or the number of an error."""
    match operation:
        case 26:  # init
            return struct.pack("=IIIIHHII36x", 7, 31, 0, 0, 0, 0, 4096, 1)
        case 1:  # lookup
            if given.rstrip(b"\0") != NAME:
                return errno.ENOENT
            return struct.pack("=QQQQII", _FILE, 0, 3600, 3600, 0, 0) + _attributes(_FILE)
        case 3:  # getattr
            return _VALID_S + _attributes(inode)
        case 14 | 27:  # open, opendir
            return bytes(16)
        case 28:  # readdir
            (offset,) = struct.unpack_from("=8xQ", given)
            name = NAME + bytes(-len(NAME) % 8)
            entry = struct.pack("=QQII", _FILE, 1, len(NAME), stat.S_IFREG >> 12) + name
            return b"" if offset else entry
    return errno.ENOSYS


def _attributes(inode: int) -> bytes:
    mode, size = (stat.S_IFDIR | 0o777, 0) if inode == _ROOT else (stat.S_IFREG | 0o666, 1)
    return struct.pack("=QQQQQQIIIIIIIIII", inode, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0,
                       4096, 0)  # fmt: skip


if __name__ == "__main__":
    main()
