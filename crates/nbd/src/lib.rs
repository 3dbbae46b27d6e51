//! An NBD server for BlockDevices, and the kernel's NBD client.
