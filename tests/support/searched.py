"""A program of milliseconds that is searched over: it writes metrics.csv, an epoch at a time, and goes on where it was.

Its loss is (x - 3)² + 1 / (epoch + 1). `--fail` is what it fails with; `--sleep` seconds pass between epochs.
"""

import signal
import sys
import time
from pathlib import Path


def main() -> None:
    options = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    x, fail, table = float(options["x"]), options.get("fail", "no"), Path(options["runs"], "run", "metrics.csv")
    table.parent.mkdir(exist_ok=True)
    done = len(table.read_text().splitlines()) - 1 if table.exists() else 0
    with table.open("a") as file:
        file.write("" if done >= 0 and table.stat().st_size else "epoch,val/loss\n")
        for epoch in range(max(done, 0), int(options.get("epochs", 3))):
            if fail == "crash" and epoch == 1:
                raise RuntimeError(f"it crashed at x={x:.1f}")
            file.write(f"{epoch},{'nan' if fail == 'nan' else (x - 3) ** 2 + 1 / (epoch + 1)}\n")
            file.flush()
            time.sleep(float(options.get("sleep", 0)))
    Path(options["runs"], "done").touch()


if __name__ == "__main__":
    main()
