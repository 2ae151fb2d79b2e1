"""The update of all parameters in one kernel, on a GPU."""
