//! The hardware addresses of a network card.

use std::ops::Deref;

use super::HardwareAddr;

/// The hardware addresses of a network card: nearly always one, which then lies in the value itself. A site has a
/// hundred thousand of them, and each packet looks at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macs(Inner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Inner {
    One(HardwareAddr),
    /// None, or more than one.
    Others(Box<[HardwareAddr]>),
}

impl Default for Macs {
    fn default() -> Self {
        Self(Inner::Others(Box::default()))
    }
}

impl Deref for Macs {
    type Target = [HardwareAddr];

    fn deref(&self) -> &[HardwareAddr] {
        match &self.0 {
            Inner::One(mac) => std::slice::from_ref(mac),
            Inner::Others(macs) => macs,
        }
    }
}

impl From<HardwareAddr> for Macs {
    fn from(mac: HardwareAddr) -> Self {
        Self(Inner::One(mac))
    }
}

impl From<Vec<HardwareAddr>> for Macs {
    fn from(macs: Vec<HardwareAddr>) -> Self {
        match macs.as_slice() {
            [mac] => (*mac).into(),
            _ => Self(Inner::Others(macs.into())),
        }
    }
}

impl FromIterator<HardwareAddr> for Macs {
    fn from_iter<I: IntoIterator<Item = HardwareAddr>>(macs: I) -> Self {
        let mut macs = macs.into_iter();
        match (macs.next(), macs.next()) {
            (None, _) => Self::default(),
            (Some(mac), None) => mac.into(),
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(macs);
                Self(Inner::Others(all.collect()))
            }
        }
    }
}

impl<'a> IntoIterator for &'a Macs {
    type Item = &'a HardwareAddr;
    type IntoIter = std::slice::Iter<'a, HardwareAddr>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_there_are_they_are_the_same() {
        let all = [1, 2, 3].map(|last| HardwareAddr::ethernet([2, 0, 0, 0, 0, last]));
        for count in 0..=all.len() {
            let expected = all.get(..count).unwrap();
            let collected: Macs = expected.iter().copied().collect();
            assert_eq!(*collected, *expected);
            assert_eq!(collected, Macs::from(expected.to_vec()));
            assert!((&collected).into_iter().eq(expected));
        }
        assert_eq!(Macs::default(), Macs::from(Vec::new()));
        assert_eq!(size_of::<Macs>(), size_of::<Vec<HardwareAddr>>());
    }
}
