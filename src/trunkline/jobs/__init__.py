"""Jobs: plan datums, run them on workers, retry, record, assemble the output commit.

Does not know HTTP, the command line, or how a runtime isolates user code.
"""
