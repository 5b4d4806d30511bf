"""Sub-commands of `poa-bench`: one small file each (see `poa_bench.cli`)."""
