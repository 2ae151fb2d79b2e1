"""The programs that write every prototxt below models/; started by make.py."""
