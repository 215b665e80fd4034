"""What tests of code that uses pykopia can build on: storages with faults, delays and a clock of their own.

``pykopia.testing.storage_tests`` (a conformance suite for storages) needs pytest, ``pykopia.testing.strategies`` needs
hypothesis; they are imported by their own names.
"""

from pykopia.testing.clock import FakeClock
from pykopia.testing.counting import CountingStorage
from pykopia.testing.eventual import EventuallyConsistentStorage
from pykopia.testing.faulty import Fault, FaultyStorage, SimulatedCrash, simulated_error
from pykopia.testing.intercepting import Call, InterceptingStorage
from pykopia.testing.latency import LatencyStorage

__all__ = [
    "Call",
    "CountingStorage",
    "EventuallyConsistentStorage",
    "FakeClock",
    "Fault",
    "FaultyStorage",
    "InterceptingStorage",
    "LatencyStorage",
    "SimulatedCrash",
    "simulated_error",
]
