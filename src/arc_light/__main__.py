"""Run the command line."""

from arc_light import runtime
from arc_light.cli import main
from arc_light.ending import QuickEnd

if __name__ == "__main__":
    end = QuickEnd()
    runtime.prepare()
    main()
    end.succeeded = True
