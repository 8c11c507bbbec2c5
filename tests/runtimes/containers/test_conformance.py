"""A slot in a container keeps the promises of slots, whoever the worker is."""

from batch_suite import *  # noqa: F403
from runtime_suite import *  # noqa: F403

# Two promises are not kept here: the first process of a container leads the only session in it, and
# what a command with datum_batching leaves to run by itself ends with its lease, not each datum.
del test_a_command_has_a_session_of_its_own  # noqa: F821
del test_what_runs_by_itself_does_not_reach_into_the_next_datum  # noqa: F821
