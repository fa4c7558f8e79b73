"""``python -m vectors`` makes all vectors again."""

from __future__ import annotations

import sys

from vectors.generate import main

sys.exit(main())
