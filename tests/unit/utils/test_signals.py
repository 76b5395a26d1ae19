"""SIGTERM where no Python code is run, as in a library that waits for another process."""

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a lock that nobody opens is made the Linux way")
STUCK = """
import ctypes, sys, time
from glassine.utils import signals
signals.GRACE = 0.3
signals.stop_on_sigterm()
print("in", flush=True)
if sys.argv[1] == "elsewhere":  # in C, as in a library that waits for a peer that is gone
    lib = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)
    lib.pthread_mutex_lock(mutex)
    lib.pthread_mutex_lock(mutex)  # for ever
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass  # somebody who does not want to end
"""


def ends(kind: str) -> float:
    with subprocess.Popen([sys.executable, "-c", STUCK, kind], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        time.sleep(0.2)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
        return time.monotonic() - asked


def test_a_process_that_waits_in_a_library_is_ended_after_its_grace():
    assert ends("elsewhere") > 0.2


def test_a_process_that_does_not_want_to_end_is_ended_too():
    assert ends("here") > 0.2
