//! Transports that attach a BlockDevice to Linux: ublk, nbd, loop.
