import os
import subprocess
import sys
from pathlib import Path

STAGES = "ingest", "ocr", "domain", "describe", "encode", "runners"


def test_workers_start_without_torch() -> None:
    source = str(Path(__file__).parents[3] / "src")
    code = f"import sys, {', '.join(f'glassine.curation.{name}' for name in STAGES)}; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
