"""HTTP doors in front of the operations, and the process that holds them open.

Knows nothing of storage, SQL or scheduling: whatever implements `api.connection.Operations` can
stand behind a door. Only `serve` knows that this is the engine.
"""
