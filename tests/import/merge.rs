//! `bootwright import`: printing and merging.
