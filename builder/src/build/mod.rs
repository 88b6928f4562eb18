//! Builds: components in parallel, each from its locked inputs to a manifest in the store.
