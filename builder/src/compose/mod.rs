//! Compose: the components of a role to one root file system.
