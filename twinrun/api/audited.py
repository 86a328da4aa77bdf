"""What an audit has found, as Python and notebooks have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from twinrun.audit.audit import Audit


@dataclass(frozen=True)
class AuditedData:
    """What `project.audit()` gives: a table of what is wrong with the data, errors first.

    Attributes:
        audit: With every image of every finding, and the groups of copies.
    """

    audit: Audit

    @property
    def fit(self) -> bool:
        """Whether the data is fit to train on: no finding is an error.

        Example:
            >>> assert project.audit().fit
        """
        return not self.audit.errors

    @cached_property
    def findings(self) -> pd.DataFrame:
        """A row a finding: check, severity (error, warning or note), count, title, images.

        `images` is a tuple of paths relative to the data folder.

        Example:
            >>> audited.findings.query("severity == 'warning'")
        """
        import pandas as pd

        columns = ["check", "severity", "count", "title", "images"]
        rows = [[getattr(each, name) for name in columns] for each in self.audit.found]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        many = len(self.audit.found)
        return f"<AuditedData: {'fit' if self.fit else 'NOT fit'} to train on, {many} findings>"

    def _repr_html_(self) -> str:
        words = "Fit to train on" if self.fit else "<b>Not fit to train on</b>"
        if not self.audit.found:
            return f"<p>{words}: nothing found.</p>"
        table: str = self.findings.drop(columns="images").to_html(index=False)
        return f"<p>{words}.</p>{table}"
