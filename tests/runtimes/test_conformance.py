"""The process runtime keeps the promises of a slot, in every isolation."""

from batch_suite import *  # noqa: F403
from runtime_suite import *  # noqa: F403
