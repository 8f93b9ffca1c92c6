//! The allocator against a plain account of who has what.
