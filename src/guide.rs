//! Where to begin: from another way of logging, with a tuned program, and what to look out for.
#![forbid(unsafe_code)]

#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("guide/tuning.md")]
pub mod tuning {}

#[doc = include_str!("guide/pitfalls.md")]
pub mod pitfalls {}
