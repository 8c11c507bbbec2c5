"""All SQL on repos, branches and commits; one function is one statement or one small step.

Rows are named by number inside the catalog and by name outside of it. No rule is decided here. The
rest of the package says `tables.find_repo` and so on, whichever module of these that is in.
"""

from trunkline.versions.tables.batches import *
from trunkline.versions.tables.branches import *
from trunkline.versions.tables.commits import *
from trunkline.versions.tables.lifetime import *
from trunkline.versions.tables.lineage import *
from trunkline.versions.tables.lines import *
from trunkline.versions.tables.numbers import *
from trunkline.versions.tables.projects import *
from trunkline.versions.tables.purges import *
from trunkline.versions.tables.repos import *
from trunkline.versions.tables.retention import *
from trunkline.versions.tables.seals import *
from trunkline.versions.tables.tags import *
from trunkline.versions.tables.trash import *
from trunkline.versions.tables.triggers import *
