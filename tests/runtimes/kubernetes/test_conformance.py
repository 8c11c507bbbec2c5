"""The slot of a worker in a pod keeps the promises of a slot, but for what its image decides."""

from batch_suite import *  # noqa: F403
from runtime_suite import *  # noqa: F403

# An image says where commands begin and which variables and users there are: `test_slot`.
del test_each_datum_finds_only_its_own_inputs_and_an_empty_out  # noqa: F821
del test_large_inputs_are_seen_like_small_ones  # noqa: F821
del test_many_tiny_files_count_as_more_than_their_bytes  # noqa: F821
del test_a_command_starts_in_pfs_or_where_it_is_told  # noqa: F821
del test_the_environment_is_what_the_command_gives_and_three_defaults  # noqa: F821
del test_a_command_that_runs_as_somebody_else_needs_root  # noqa: F821
del test_an_unknown_user_is_named  # noqa: F821
del test_a_command_that_cannot_start_says_why  # noqa: F821
# The first process of a container is the leader of the only session in it.
del test_a_command_has_a_session_of_its_own  # noqa: F821
# What a command with datum_batching leaves to run by itself ends with its lease, not each datum.
del test_what_runs_by_itself_does_not_reach_into_the_next_datum  # noqa: F821
# A shell counts files in blocks.
del test_one_file_cannot_grow_beyond_the_quota  # noqa: F821
