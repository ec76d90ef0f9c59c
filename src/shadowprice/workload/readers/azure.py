"""Azure LLM inference traces (github.com/Azure/AzurePublicDataset, CC-BY-4.0).

2023: Patel et al., "Splitwise", ISCA 2024. 2024: Stojkovic et al., "DynamoLLM", HPCA 2025; same columns, times with
a zone. Multimodal 2025: Qiu et al., "ModServe", SoCC 2025; the count of images per request, not their sizes.
"""

import numpy as np

from shadowprice.workload.readers.formats import CsvFormat, Options, Parts, seconds_since_first, spread
from shadowprice.workload.readers.table import Column, Table, tokens
from shadowprice.workload.trace import Ragged

NO_SIZES = "image sizes are not published: media_tokens holds one 0 per image, inside ContextTokens"


def _build(table: Table, options: Options) -> Parts:
    arrival_s, notes = spread(seconds_since_first(table.array("TIMESTAMP")), options)
    columns = {
        "arrival_s": arrival_s,
        "prompt_tokens": table.array("ContextTokens"),
        "output_tokens": table.array("GeneratedTokens"),
    }
    return Parts(table, columns, notes)


def _build_multimodal(table: Table, options: Options) -> Parts:
    images = table.array("NumImages")
    media = Ragged.from_lengths(np.zeros(images.sum(), dtype=np.int64), images)
    text = _build(table, options)
    return Parts(table, text.columns | {"media_tokens": media}, [NO_SIZES, *text.notes])


TEXT_COLUMNS = (Column("TIMESTAMP", "time"), tokens("ContextTokens"), tokens("GeneratedTokens"))
MULTIMODAL_COLUMNS = (*TEXT_COLUMNS, Column("NumImages", "whole", 0, 10_000))

TIMES = "TIMESTAMP as dates, from the first"
AZURE = CsvFormat("Azure LLM inference CSV", TEXT_COLUMNS, _build, TIMES)
AZURE_MULTIMODAL = CsvFormat("Azure multimodal inference CSV", MULTIMODAL_COLUMNS, _build_multimodal, TIMES)
