//! Attaches a BlockDevice through the kernel's ublk driver.
