"""Ctrl-C and SIGTERM, handled between compiled calls."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import numpy as np


class StopSignals:
    """While entered, SIGINT and SIGTERM are noted in `received` instead of killing the program.

    Python's KeyboardInterrupt may be raised in a callback of TensorFlow's native code, which
    swallows it or reports another error.
    """

    received = 0
    requested = 0  # a signal that another process received and passed on, which stops this one

    def __enter__(self) -> StopSignals:
        main = threading.current_thread() is threading.main_thread()  # no other may set handlers
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._previous = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def received_by_any(self, sum: Callable[[np.ndarray], np.ndarray]) -> int:
        """The signal that this process received, or SIGTERM if only another worker received one.

        sum: adds up arrays of all workers, which all call this at the same point.
        """
        number = self.received or StopSignals.requested
        if not sum(np.array([bool(number)], np.int32))[0]:
            return 0
        return number or signal.SIGTERM

    def _note(self, number: int, _frame: object) -> None:
        self.received = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
