"""XLA's flags for the processes that tests start: two thirds of the time of a command.

`python -m spec_tests.compile_quickly` prints them, for tests that are marked so.
"""

from importlib.metadata import version

# The older code generator is the quicker one, where there still are two.
_OLDER = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""
COMPILE_QUICKLY = f"--xla_backend_optimization_level=0 {_OLDER}".strip()


def with_devices(count: int) -> dict[str, str]:
    """The environment of a process with so many virtual devices."""
    flags = f"--xla_force_host_platform_device_count={count} {COMPILE_QUICKLY}"
    return {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


if __name__ == "__main__":
    print(COMPILE_QUICKLY)
