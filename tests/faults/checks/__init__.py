"""The rules that a history is judged by, one idea a file. Pure: no I/O, no clock."""
