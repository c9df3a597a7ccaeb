//! Tests of the registration authority.

mod key_policy;
