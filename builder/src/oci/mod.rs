//! OCI pod images from components.
