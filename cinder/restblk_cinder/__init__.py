"""Cinder volumes on restblk.

volume_driver = restblk_cinder.driver.RestblkDriver
"""
