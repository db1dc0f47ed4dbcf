"""Refuse answers that were not checked, and a folder that holds anything."""

import os
import sys

if "{{ check_answers is defined }}" != "True":
    sys.exit("the answers cannot be checked without _extensions: give them again, without the replay")
if os.listdir():
    sys.exit(f"{os.getcwd()}: is not empty: choose another project_slug or output folder, or empty it")
