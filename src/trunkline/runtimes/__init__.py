"""Where user code runs. Knows commands and directories, nothing of versions, datums or repos."""
