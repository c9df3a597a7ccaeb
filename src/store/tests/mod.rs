//! The ledger on a real disk: what is appended is there, found and checked after every kind of end.

mod damage;
mod faults;
mod fixture;
mod heads;
mod indexes;
mod kill;
mod powercut;
mod reopen;
mod revoked;
mod verify;
