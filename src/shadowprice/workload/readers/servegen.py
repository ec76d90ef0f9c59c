"""ServeGen-like CSV: text and image requests of many clients (alibaba/ServeGen; Xiang et al., arXiv 2505.09999)."""

import numpy as np

from shadowprice.workload.readers.formats import CsvFormat, Options, Parts, spread
from shadowprice.workload.readers.table import Column, Table, tokens


def _build(table: Table, options: Options) -> Parts:
    extra = {}
    image_total = np.zeros(len(table), dtype=np.int64)
    if "image_tokens" in table.columns:
        if "num_images" in table.columns:
            counts = np.diff(table.ragged("image_tokens").offsets)
            table = table.require(counts == table.array("num_images"), "image_tokens", "as many entries as num_images")
        images = table.ragged("image_tokens")
        before = np.concatenate([[0], np.cumsum(images.values)])
        image_total = before[images.offsets[1:]] - before[images.offsets[:-1]]
        extra = {"media_tokens": images}
    prompt_tokens = table.array("text_tokens") + image_total
    fits = prompt_tokens >= 1
    if not fits.all():
        return _build(table.require(fits, "text_tokens", "at least one text or image token"), options)
    arrival_s, notes = spread(table.array("t_s"), options)
    columns = {
        "arrival_s": arrival_s,
        "prompt_tokens": prompt_tokens,
        "output_tokens": table.array("output_tokens"),
        "tenant": table.array("client"),
    }
    return Parts(table, columns | extra, notes)


SERVEGEN = CsvFormat(
    "ServeGen-like CSV",
    (
        Column("t_s", "number"),
        Column("client", "whole"),
        tokens("text_tokens", low=0),
        tokens("output_tokens"),
        Column("num_images", "whole", 0, required=False),
        tokens("image_tokens", low=0, kind="wholes", required=False),
    ),
    _build,
    times="t_s in seconds",
)
