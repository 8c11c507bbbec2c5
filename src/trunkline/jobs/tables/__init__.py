"""The SQL of jobs, datums, leases and remembered results; nowhere else.

The rest of the package says `tables.insert_job` and so on, whichever module of these that is in.
"""

from trunkline.jobs.tables.datums import *
from trunkline.jobs.tables.increments import *
from trunkline.jobs.tables.leases import *
from trunkline.jobs.tables.lifetime import *
from trunkline.jobs.tables.notices import *
from trunkline.jobs.tables.profiles import *
from trunkline.jobs.tables.purges import *
from trunkline.jobs.tables.records import *
from trunkline.jobs.tables.trash import *
