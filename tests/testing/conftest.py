import pytest

pytest.register_assert_rewrite("pykopia.testing.storage_tests")
