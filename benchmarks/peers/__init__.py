"""What a user would write without this project, each a script that stands alone."""
