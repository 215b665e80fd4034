import pytest

pytest.register_assert_rewrite("pykopia.testing.storage_fault_tests", "pykopia.testing.storage_tests")
