"""What should run: specs, inputs, datums, their identity, and the record of each pipeline.

Knows nothing of jobs, workers, runtimes, the network or the command line. Reads no clock and draws
no random number: times and nonces come in as arguments. Only `tables` and `lifecycle` see the
database, only `datums` sees file trees; the rest is pure.
"""
