"""Triton kernels. Importing this package imports no Triton; its kernel modules do, and are imported when first used.

``tiling`` picks the constants, ``fitting`` smaller tiles where those do not fit, ``tuning`` one of the ``neighbours``
of a tile; ``grid`` and ``packed`` put the kernels together. ``local_*`` serve class tokens and local beats, ``dense_*``
view-guided attention and the visible block, ``tile_*`` the same where a sequence is one tile, ``row_*`` everything
where no tile fits; ``merge`` and ``select`` are the small steps around them.
"""
