"""Visits the front page, again and again."""

from wit_world import exports
from wit_world.imports import http, metrics


class User(exports.User):
    def iterate(self) -> None:
        page = http.get("/", None)
        metrics.check("the front page is there", page.status() == 200)
