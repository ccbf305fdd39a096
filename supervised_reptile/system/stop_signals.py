"""Ctrl-C and SIGTERM, handled between compiled calls."""

from __future__ import annotations

import signal
import threading


class StopSignals:
    """While entered, SIGINT and SIGTERM are noted in `received` instead of killing the program.

    Python's KeyboardInterrupt may be raised in a callback of TensorFlow's native code, which
    swallows it or reports another error.
    """

    received = 0

    def __enter__(self) -> StopSignals:
        main = threading.current_thread() is threading.main_thread()  # no other may set handlers
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._previous = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def _note(self, number: int, _frame: object) -> None:
        self.received = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
