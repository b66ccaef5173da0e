"""The fast paths behind the operator ``videowino::winograd_conv3d``.

Importing this package puts them in place; where one does not apply, the reference of
`videowino.winograd` computes.
"""

import videowino.kernels.cpu  # noqa: F401  -- registers itself
