# -*- coding: latin-1 -*-
"""Preise für Wagen."""


class Wagen:
	def __init__(self, größe):
		self.größe = größe

	def preis(self, tage):
		"""Preis in Euro; ab sieben Tagen günstiger."""
		if tage > 7:
			return tage * 40  # günstig
		return tage * 50


NAME = "Käfer"
