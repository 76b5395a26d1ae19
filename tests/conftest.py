"""Settings for all tests."""

import os

# before torch is imported: its threads wait for each other, which on a busy machine costs more than they bring
os.environ.setdefault("OMP_NUM_THREADS", "1")

# the small networks of the tests, which bundles of theirs name
os.environ.setdefault("GLASSINE_ALLOW", "tests.helpers")

# Lightning's logger keeps the standard error it finds at its import: let that be no test's own, which closes
import lightning.pytorch  # noqa: F401
