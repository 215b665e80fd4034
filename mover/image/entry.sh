#!/bin/sh
# The fixed place at which operators start the mover: `/mover-kopia/entry.sh OPERATION...`.
exec /usr/local/bin/pykopia-mover "$@"
