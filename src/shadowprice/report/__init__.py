"""Reports: one self-contained page of an audit."""

from shadowprice.extras import needs

needs("report")

from shadowprice.report.page import page_html, write_page  # noqa: E402

__all__ = ["page_html", "write_page"]
