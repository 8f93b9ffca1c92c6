//! The line ends of netascii (RFC 764): LF becomes CR LF, CR becomes CR NUL.

/// Appends bytes of a file as netascii has them. Each byte is turned for itself, so that a file may come in any parts.
pub fn encode(bytes: &[u8], to: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'\n' => to.extend_from_slice(b"\r\n"),
            b'\r' => to.extend_from_slice(b"\r\0"),
            other => to.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bytes = bytes.iter();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'\r' => match bytes.next() {
                    Some(b'\n') => b'\n',
                    Some(0) => b'\r',
                    other => panic!("{other:?} after CR"),
                },
                other => *other,
            });
        }
        out
    }

    #[test]
    fn line_ends() {
        let mut out = Vec::new();
        encode(b"a\nb\r\nc\r", &mut out);
        assert_eq!(out, b"a\r\nb\r\0\r\nc\r\0");
    }

    proptest! {
        #[test]
        fn it_can_be_undone(bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..80)) {
            let mut out = Vec::new();
            encode(&bytes, &mut out);
            prop_assert_eq!(decode(&out), bytes);
        }
    }
}
