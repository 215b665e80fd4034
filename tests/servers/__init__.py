"""Real servers on loopback for the tests of remote storages, one module for each kind.

`scripts/test-servers.sh` brings the programs that pip does not. A server whose program is not there skips the tests that
ask for it, with a reason; where PYKOPIA_REQUIRE_SERVERS is set, as in CI, they fail instead. A new server is a module with a
context manager that starts it (see `programs` and `process`), and a fixture in `fixtures`.
"""
