//! shown
