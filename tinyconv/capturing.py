"""What may be part of a step that is kept and repeated: on a tape (`kernels.tape`), or as a CUDA graph.

Only kernels are kept there.  So whoever takes part does nothing else, and says so in its class.
"""

from typing import Any


class Capturable:
    """Base of layers, activations, losses, optimizers and regularizers.

    A class whose objects, when they compute, do nothing but start operations of the backend and of its device says
    `only_launches = True`.  That is not inherited: a subclass may compute in another way, and has to say it again.
    """

    only_launches: bool = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "only_launches" not in vars(cls):
            cls.only_launches = False
