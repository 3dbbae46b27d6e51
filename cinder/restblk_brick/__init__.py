"""restblk's volumes on compute hosts: an os-brick connector that has the
host's own daemon attach them, and Nova's volume driver on it.

Nothing of Cinder, which compute hosts need not have.
"""
