"""Which documents of a corpus show what a step learns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.frozen import Frozen, Name


class Reference(Frozen):
    """The documents of some domains and sources."""

    domains: tuple[Name, ...] = ()
    sources: tuple[Name, ...] = ()

    def shown_by(self, table: pa.Table) -> np.ndarray:
        """bool, one per document."""
        domains, sources = (pa.array(names, pa.string()) for names in (self.domains, self.sources))
        return pc.or_(pc.is_in(table["domain"], domains), pc.is_in(table["source"], sources)).to_numpy(zero_copy_only=False)
