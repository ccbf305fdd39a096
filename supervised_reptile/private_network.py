"""A network of this process's own, with nothing in it but the loopback interface (Linux).

TensorFlow's workers listen on every interface, and whoever reaches one of them may have it compute
anything. Workers of one machine need nobody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path

NEW_USER, NEW_NETWORK = 0x1000_0000, 0x4000_0000  # CLONE_NEWUSER, CLONE_NEWNET
SET_FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP


def leave_network() -> bool:
    """Move this process, which must have one thread only, and its children into such a network.

    Says whether that was possible: it takes Linux, and root or user namespaces.
    """
    with contextlib.suppress(OSError, AttributeError):
        _leave()
        return True
    return False


def _leave() -> None:
    import fcntl

    user, group = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare  # os.unshare is as young as Python 3.12
    if unshare(NEW_NETWORK):
        if unshare(NEW_USER | NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "unshare")
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", name).write_text(content)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
