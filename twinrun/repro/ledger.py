"""The ledger: what a training writes down about itself, a digest per stage, as it goes.

Two ledgers are compared row by row in the order of training; the first that differs is where the
randomness came in, because everything before it was equal.

A row holds epoch and step (from 1; 0 before the first), a stage (repro/stages.py), what the digest
is of ("" for everything of that stage at that step) and the digest. Three levels:

- "epoch": what comes before training; at the end of every epoch the weights and the predictions.
- "step": beside these, every stage of every step.
- "tensor": beside these, a row for each image, module and parameter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from twinrun.errors import InputError
from twinrun.files import is_there, whole_file
from twinrun.plain_files import read_bytes
from twinrun.repro.digests import digest_text, fetch_digests
from twinrun.repro.stages import STAGES

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

_ABOUT = b"twinrun"
_CHECKSUM = b"twinrun.checksum"
_TRAIN_AGAIN = "Train the member again to have a new one."


class Ledger:
    """The rows written so far, and what they are about.

    Args:
        about: JSON values: what the member was made from (settings, environment), the level.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        self.about = dict(about)
        self._written: pa.Table | None = None
        self._new: list[tuple[int, int, str, str, int | Tensor]] = []

    def add(
        self, stage: str, digest: int | Tensor, *, epoch: int = 0, step: int = 0, what: str = ""
    ) -> None:
        """Write a row; a digest that is still on a device is fetched when the rows are asked for.

        Raises:
            ValueError: There is no such stage.
        """
        if stage not in STAGES:
            raise ValueError(f"no stage of a ledger: {stage}")
        self._new.append((epoch, step, stage, what, digest))

    def __len__(self) -> int:
        return len(self._new) + (self._written.num_rows if self._written is not None else 0)

    def cut(self, rows: int) -> None:
        """Forget all but so many rows from the beginning."""
        self._written = self.rows().slice(0, rows)

    def rows(self) -> pa.Table:
        """All rows in the order of writing.

        Returns:
            epoch and step (int32), stage and what (text, dictionary-encoded), digest (uint64).
        """
        import pyarrow as pa

        if self._new or self._written is None:
            epochs, steps, stages, whats, digests = (
                zip(*self._new, strict=True) if self._new else ([],) * 5
            )
            columns = (epochs, steps, stages, whats, fetch_digests(digests))
            schema = _schema()
            new = pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)
            parts = [new] if self._written is None else [self._written, new]
            self._written = pa.concat_tables(parts).unify_dictionaries()
            self._new.clear()
        return self._written

    def at(self, stage: str, epoch: int, step: int) -> list[tuple[str, int]]:
        """What a stage's rows are of, and their 64 bits, at a moment; in the order of writing."""
        import pyarrow.compute as pc

        rows = self.rows()
        here = pc.and_(pc.equal(rows["epoch"], epoch), pc.equal(rows["step"], step))
        found = rows.filter(here).to_pylist()
        return [(row["what"], row["digest"]) for row in found if row["stage"] == stage]

    def to_bytes(self) -> bytes:
        """The ledger as the content of a parquet file."""
        import pyarrow as pa
        from pyarrow import parquet

        rows = self.rows().combine_chunks()
        about = json.dumps(self.about, sort_keys=True)
        checksum = digest_text(about, str(rows.num_rows))
        rows = rows.replace_schema_metadata({_ABOUT: about, _CHECKSUM: str(checksum)})
        sink = pa.BufferOutputStream()
        parquet.write_table(rows, sink, compression="zstd", write_page_checksum=True)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def write(self, path: Path) -> None:
        """Write ledger.parquet, whole.

        Raises:
            InputError: The folder cannot be written.
        """
        with whole_file(path) as temporary:
            temporary.write_bytes(self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The ledger that `to_bytes` gave.

        Raises:
            ValueError: It is not one.
        """
        import pyarrow as pa
        from pyarrow import parquet

        try:
            # Not read_table: it imports pandas, for longer than `twinrun diff` may take. No
            # threads: Arrow's may abort a process that ends while they wait (apache/arrow#34314).
            table = parquet.ParquetFile(
                pa.BufferReader(content),
                read_dictionary=["stage", "what"],
                page_checksum_verification=True,
            ).read(use_threads=False)
            table.validate(full=True)
            metadata = table.schema.metadata or {}
            about, checksum = (metadata.get(key, b"").decode() for key in (_ABOUT, _CHECKSUM))
        except KeyError:
            raise ValueError("not a ledger: it has other columns") from None
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"not a ledger: {error}") from error
        # Pages have checksums of their own; this one is for what stands beside them.
        if checksum != str(digest_text(about, str(table.num_rows))):
            raise ValueError("not a ledger, or changed since it was written")
        ledger = cls(json.loads(about))
        table = table.replace_schema_metadata(None)
        if table.schema != _schema():
            raise ValueError("not a ledger: it has other columns")
        ledger._written = table
        return ledger

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ledger.parquet.

        Raises:
            InputError: It is missing, cannot be read or is not a ledger.
        """
        try:
            if not is_there(path):
                raise InputError(f"no such file: {path}", fix=_TRAIN_AGAIN)
            ledger = cls.from_bytes(read_bytes(path))
            _refuse_other_heading(ledger.about)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise InputError(f"{path} is damaged: {error}", fix=_TRAIN_AGAIN) from None
        return ledger


def _refuse_other_heading(about: object) -> None:
    """Check that a ledger says what it is of.

    Raises:
        ValueError: It does not.
    """
    kinds = {"level": str, "settings": dict, "environment": dict, "code": str}
    table = about if isinstance(about, dict) else {}
    wrong = [name for name, kind in kinds.items() if not isinstance(table.get(name), kind)]
    if not wrong and not isinstance(table["settings"].get("member", {}).get("name"), str):
        wrong = ["settings.member.name"]
    if wrong:
        raise ValueError(f"its heading does not say what it is of: {', '.join(wrong)}")


def _schema() -> pa.Schema:
    import pyarrow as pa

    number, text = pa.int32(), pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        {"epoch": number, "step": number, "stage": text, "what": text, "digest": pa.uint64()}
    )
