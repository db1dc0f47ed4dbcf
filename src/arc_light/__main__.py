"""Run the command line."""

from arc_light import runtime
from arc_light.cli import main

if __name__ == "__main__":
    runtime.prepare()
    main()
