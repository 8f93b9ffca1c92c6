//! ICMP echo (RFC 792): whether somebody has an address.

const REQUEST: u8 = 8;
const REPLY: u8 = 0;

/// An echo request with this identifier and sequence number.
pub fn echo_request(identifier: u16, sequence: u16) -> [u8; 8] {
    let [high, low] = identifier.to_be_bytes();
    let [first, second] = sequence.to_be_bytes();
    let sum =
        u32::from(u16::from_be_bytes([REQUEST, 0])) + u32::from(identifier) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [sum_high, sum_low] = (!u16::try_from(folded).unwrap_or(u16::MAX)).to_be_bytes();
    [REQUEST, 0, sum_high, sum_low, high, low, first, second]
}

/// Whether an IPv4 packet, as a raw socket gives it, is a reply to a request of this identifier.
pub fn is_echo_reply(packet: &[u8], identifier: u16) -> bool {
    let Some(header) = packet.first().map(|first| usize::from(first & 0x0f) * 4) else {
        return false;
    };
    let message = packet.get(header..).unwrap_or_default();
    message.first() == Some(&REPLY) && message.get(4..6) == Some(&identifier.to_be_bytes())
}

/// Whether a message, as a datagram socket of ICMP gives it, is a reply. The kernel has seen to it that it is one to
/// this socket's requests.
pub fn is_echo_reply_message(message: &[u8]) -> bool {
    message.first() == Some(&REPLY) && message.len() >= 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_has_the_right_checksum() {
        for identifier in [0, 0x1234, 0xffff, 0xf7ff] {
            for sequence in [1, 2, 0xffff] {
                let request = echo_request(identifier, sequence);
                let sum: u32 = request
                    .chunks_exact(2)
                    .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                    .sum();
                let folded = (sum & 0xffff) + (sum >> 16);
                assert_eq!(
                    (folded & 0xffff) + (folded >> 16),
                    0xffff,
                    "{identifier:02x?}"
                );
                let mut reply = vec![0x45; 20];
                reply.extend_from_slice(&request);
                assert!(!is_echo_reply(&reply, identifier), "a request");
                reply[20] = 0;
                assert!(is_echo_reply(&reply, identifier));
                assert!(is_echo_reply_message(&reply[20..]));
                assert!(!is_echo_reply(&reply, identifier ^ 1));
                for cut in 0..26 {
                    assert!(!is_echo_reply(&reply[..cut], identifier));
                }
            }
        }
        assert!(!is_echo_reply_message(&[0; 7]));
    }
}
