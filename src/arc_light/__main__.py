"""Run the command line."""

from lamphouse.cli.main import main
from lamphouse.machine import runtime
from lamphouse.machine.start_end import QuickEnd

if __name__ == "__main__":
    end = QuickEnd()
    runtime.prepare()
    main()
    end.succeeded = True
