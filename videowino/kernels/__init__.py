"""The fast paths behind the operator ``videowino::winograd_conv3d``.

Importing this package puts them in place; where one does not apply, the reference of
`videowino.winograd` computes.
"""

from videowino.kernels import cpu
from videowino.winograd import operator

operator.KERNELS["cpu"] = cpu
