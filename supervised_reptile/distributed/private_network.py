"""A network of this process's own, with nothing in it but the loopback interface (Linux).

TensorFlow's workers listen on every interface, and whoever reaches one of them may have it compute
anything. Workers of one machine need nobody else.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from pathlib import Path

from supervised_reptile.errors import UserError

NEW_USER, NEW_NETWORK = 0x1000_0000, 0x4000_0000  # CLONE_NEWUSER, CLONE_NEWNET
SET_FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP


def leave_network() -> bool:
    """Move this process, which should have one thread only, and its children into such a network.

    Says whether that was possible: it takes Linux, and root or user namespaces. Where it was not,
    the process is where it was.

    Raises:
      UserError: the process has moved, but what a child just did in its new network fails here.
    """
    if not _possible():
        return False
    try:
        owner = _move()
    except OSError:  # several threads, of which a child has one
        return False
    try:
        _set_up(owner)
    except OSError as error:
        raise UserError(
            f"the workers' own network cannot be set up ({error.strerror}): run the command again"
        ) from error
    return True


def _possible() -> bool:
    """Whether a child can do all of it: from a network half set up there is no way back."""
    try:
        child = os.fork()
    except OSError:  # there are too many processes
        return False
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        _set_up(_move())
        status = 0
    finally:
        os._exit(status)


def _move() -> tuple[int, int] | None:
    """Leave the network; user and group, if that took a namespace of users where they are unknown.

    Raises:
      OSError: the process has not moved.
    """
    owner = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare  # os.unshare is as young as Python 3.12
    if not unshare(NEW_NETWORK):
        return None
    if unshare(NEW_USER | NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare")
    return owner


def _set_up(owner: tuple[int, int] | None) -> None:
    """Make the owner known in the new namespace of users, and start the loopback interface."""
    import fcntl

    if owner:
        user, group = owner
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", name).write_text(content)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
