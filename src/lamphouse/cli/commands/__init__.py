"""The commands, a file each: `main(project, args)` returns the metrics that it has printed, if any."""
