"""Run the command line."""

from lamphouse.cli.main import main
from lamphouse.machine import start
from lamphouse.machine.start import QuickEnd

if __name__ == "__main__":
    end = QuickEnd()
    start.prepare()
    main()
    end.succeeded = True
