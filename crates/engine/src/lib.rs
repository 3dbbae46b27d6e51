//! Volumes on stores: the direct layout.
