"""Every root registry of mmengine has a child of ours, so that nothing is looked for in vain in our scope."""

import subprocess
import sys

import mmengine.registry
import pytest
from mmengine.registry import Registry

from poa_bench import registry

ROOTS = {name: root for name, root in vars(mmengine.registry).items() if isinstance(root, Registry)}


@pytest.mark.parametrize("name", ROOTS)
def test_every_root_has_our_child(name, log):
    assert len(ROOTS) >= 20
    child = ROOTS[name]._children["poa_bench"]
    assert isinstance(child, registry.OnDemandRegistry) and child.parent is ROOTS[name]
    with ROOTS[name].switch_scope_and_registry("poa_bench") as found:
        assert found is child
    assert not any("Failed to search registry" in line for line in log)


def test_names_are_found_with_and_without_scope():
    program = """
from mmengine.registry import HOOKS, LOG_PROCESSORS, VISBACKENDS, init_default_scope
init_default_scope("poa_bench")
for registry, name in ((HOOKS, "KnnHook"), (HOOKS, "poa_bench.KnnHook"), (HOOKS, "LoggerHook")):
    with registry.switch_scope_and_registry(None) as found:
        assert found.get(name).__name__ == name.split(".")[-1]
assert LOG_PROCESSORS.build({"type": "LogProcessor"}).window_size == 10
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Failed to search" not in done.stdout + done.stderr
