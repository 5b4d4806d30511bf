"""POA (Pre-training Once for All): one supernet, every size cut from it measured on the same tasks."""

from poa_bench import operators

__version__ = "0.1.0"

operators.install()
