"""Plans and writes a user's own project from the files of this one; no part of it reaches that project."""
