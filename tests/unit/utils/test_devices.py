import subprocess
import sys

import pytest

TOUCH = """
import resource, torch
{prepare}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(16_000_000)  # the heap grows to what is needed
before = faults()
for _ in range(20):
    torch.ones(16_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_memory_that_comes_and_goes_is_not_fetched_from_the_system_each_time():
    def page_faults(prepare: str) -> int:
        run = subprocess.run([sys.executable, "-c", TOUCH.format(prepare=prepare)], capture_output=True, text=True)
        return int(run.stdout)

    kept = page_faults("from glassine.utils.devices import keep_freed_memory; keep_freed_memory()")
    assert kept < 0.1 * page_faults("")
