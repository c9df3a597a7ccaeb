//! Tests of the readers and writers, and what the tests of other parts need of them.

pub(crate) mod fixtures;

mod csr;
mod general_name;
mod name;
