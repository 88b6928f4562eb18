//! The software bill of materials, from the lock.
