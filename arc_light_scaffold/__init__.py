"""Plans a user's project from the files of this repository, and writes it."""
