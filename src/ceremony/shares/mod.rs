//! A secret for several hands: M-of-N shares (Shamir 1979) in a form for paper that corrects typing
//! mistakes. Owns: splitting, combining, testing every combination, the rows on paper. Never: where
//! a share is shown, or a share in a file.
//!
//! `shamir` works over GF(2^8) with the polynomial of AES, as SLIP-39 does; `paper` writes a share as
//! rows of 24 characters, each row a Reed-Solomon code word over GF(2^5), so that one character is
//! one symbol and any three wrong characters of a row are put right.

mod paper;
mod reed_solomon;
mod shamir;

pub use paper::{PaperError, read, rows};
pub use shamir::{MAX_SECRET, MAX_SHARES, Share, ShareError, combine, split};
