//! Attaches a BlockDevice as a FUSE file under a loop device.
