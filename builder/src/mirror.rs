//! Where Debian's packages come from: a flag, an environment variable, or this machine's apt.
