"""Measurements of pykopia: what one function costs, and how whole commands compare with other tools."""
