"""BurstGPT (github.com/HPMLL/BurstGPT, CC-BY-4.0; Wang et al., KDD 2025): seconds from midnight of the first day.

Failed requests have 0 response tokens: they are bad rows. Later releases add the session of a conversation.
"""

from shadowprice.workload.readers.formats import CsvFormat, Options, Parts, spread
from shadowprice.workload.readers.table import Column, Table, codes, tokens

LATEST_S = 1e11  # three thousand years: its milliseconds are exact in float64


def _build(table: Table, options: Options) -> Parts:
    arrival_s, notes = spread(table.array("Timestamp"), options)
    columns = {
        "arrival_s": arrival_s,
        "prompt_tokens": table.array("Request tokens"),
        "output_tokens": table.array("Response tokens"),
    }
    if "Session ID" in table.columns:
        columns["session"] = codes(table.array("Session ID"))
    return Parts(table, columns, notes)


BURSTGPT = CsvFormat(
    "BurstGPT CSV",
    (
        Column("Timestamp", "number", 0, LATEST_S),
        tokens("Request tokens"),
        tokens("Response tokens"),
        Column("Session ID", "text", required=False),
    ),
    _build,
    times="Timestamp in seconds",
)
