"""The version, in a module of its own.

Who stands above a checkout in a folder called tinyconv imports that folder, as a package without an `__init__`: Python
finds it before an editable installation.  All modules are found nevertheless, and so is this one.
"""

__version__ = "0.1.0"
