//! Networks of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::problems::shown;

/// A network, or one address (a prefix of its whole length). No bit beyond the prefix is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

/// The text is no [`IpNet`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNet {
    #[error("{0} is no network; write an address and its prefix, as 10.0.0.0/8 or fd00::/8")]
    Malformed(String),
    #[error("{shown} has a prefix beyond {most}; write 0 to {most} after the /")]
    Prefix { shown: String, most: u8 },
    #[error("{shown} has bits beyond its prefix; write {meant} for the network")]
    Bits { shown: String, meant: IpNet },
}

impl IpNet {
    /// Is the address in this network? An IPv4 address that arrives inside IPv6
    /// (`::ffff:10.0.0.1`, as a socket of both families shows it) counts as IPv4; apart from
    /// that no address is in a network of the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.address)
    }

    /// Does it hold every address of its family?
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// The address without the bits beyond the prefix; nothing where the prefix is longer than the
/// address. The families stay apart: an IPv4 address never equals an IPv6 one.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let beyond = bits(address).checked_sub(prefix)?;
    Some(match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(u32::from(beyond)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(u32::from(beyond)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    })
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for IpNet {
    type Err = InvalidNet;

    fn from_str(text: &str) -> Result<Self, InvalidNet> {
        let malformed = || InvalidNet::Malformed(shown(text));
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let written: IpAddr = address.parse().map_err(|_| malformed())?;
        let most = bits(written);
        let mut prefix = match prefix {
            None => most,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(malformed());
            }
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= most)
                .ok_or_else(|| InvalidNet::Prefix { shown: shown(text), most })?,
        };
        // `::ffff:10.0.0.0/104` is 10.0.0.0/8, and is compared with IPv4 addresses.
        let mut address = written;
        if let (true, Some(inner)) = (written.to_canonical() != written, prefix.checked_sub(96)) {
            (address, prefix) = (written.to_canonical(), inner);
        }
        let network = masked(address, prefix).ok_or_else(malformed)?;
        let net = Self { address: network, prefix };
        if network == address {
            Ok(net)
        } else {
            Err(InvalidNet::Bits { shown: shown(text), meant: net })
        }
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// May this address be reached from the internet, as far as its number tells?
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64.0.0/10 is shared address space (RFC 6598): carriers and overlay networks.
            let shared = a == 100 && (64..128).contains(&b);
            let local = v4.is_private() || v4.is_loopback() || v4.is_link_local();
            !(local || shared || v4.is_unspecified() || v4.is_multicast())
        }
        IpAddr::V6(v6) => {
            let local = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            !(local || v6.is_unspecified() || v6.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(net: &str, address: &str) -> bool {
        let net: IpNet = net.parse().expect("a network");
        net.contains(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.8"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(contains("fd00::/8", "fd12::1"));
        assert!(!contains("fd00::/8", "fe80::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn ipv4_inside_ipv6_counts_as_ipv4_and_the_families_stay_apart() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
        assert!(!contains("::/0", "10.1.2.3"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
    }

    #[test]
    fn what_is_no_network_says_what_to_write() {
        for (text, says) in [
            ("", "as 10.0.0.0/8"),
            ("proxy.example", "as 10.0.0.0/8"),
            ("10.0.0.0/", "as 10.0.0.0/8"),
            ("10.0.0.0/+8", "as 10.0.0.0/8"),
            ("10.0.0.0/8/8", "as 10.0.0.0/8"),
            ("10.0.0.0/33", "write 0 to 32"),
            ("10.0.0.0/999", "write 0 to 32"),
            ("fd00::/129", "write 0 to 128"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("fd00::1/64", "write fd00::/64"),
        ] {
            let error = text.parse::<IpNet>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn loopback_and_private_addresses_are_not_public() {
        for local in ["127.0.0.1", "10.1.1.1", "192.168.0.1", "100.64.0.1", "::1", "fd00::1"] {
            assert!(!is_public(local.parse().expect("an address")), "{local}");
        }
        for public in ["203.0.113.9", "2001:db8::1", "::ffff:8.8.8.8", "100.128.0.1"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_its_own_address_and_reads_back(address: IpAddr, prefix in 0_u8..=128) {
            if let Some(network) = masked(address.to_canonical(), prefix) {
                let net = IpNet { address: network, prefix };
                prop_assert!(net.contains(address));
                // An address below ::ffff:0:0/96 is shown as what it was read as: IPv4.
                prop_assert_eq!(net.to_string().parse(), Ok(net));
            }
        }
    }
}
