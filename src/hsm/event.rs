//! What the log's records of the HSM have in common.

/// The value of their field `event`. It is telemetry's as well; the two parts do not know each other.
pub const EVENT: &str = "hsm";
