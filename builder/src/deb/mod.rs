//! Debian's packages.
