//! What this server sends.

/// A reply, before it is bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    // helper B
}

impl Reply {
    /// The datagram's payload.
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }
}
