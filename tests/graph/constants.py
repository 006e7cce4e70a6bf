"""Constants of another module than the one whose program names them."""

PARTS = ("opening", "closing")
TABLE = {"opening": "the first words", "closing": "the last words"}
