"""Reports: one self-contained page of an audit."""

from shadowprice.report.page import page_html, write_page

__all__ = ["page_html", "write_page"]
