"""What is checked before a run. Whatever is wrong raises an `InputError` of one line: option, value, what to do."""
