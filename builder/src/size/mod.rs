//! Size report and budget of a role.
