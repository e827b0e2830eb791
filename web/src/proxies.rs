//! Which proxies are believed when they say for whom they ask.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;

/// Addresses of proxies: one, or all with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy {
    address: IpAddr,
    bits: u8,
}

/// A text that names no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no address: write 10.0.0.7 or 10.0.0.0/24")]
pub struct NoProxy;

impl FromStr for Proxy {
    type Err = NoProxy;

    fn from_str(text: &str) -> Result<Self, NoProxy> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoProxy)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or(NoProxy)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

impl Proxy {
    fn is(&self, other: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u8| {
            let shift = u32::from(width - self.bits);
            self.bits == 0 || one >> shift == other >> shift
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// For whom a request is made, as far as that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) from: IpAddr,
    /// Nobody could listen in on the way from there.
    pub(crate) is_secure: bool,
}

/// For whom a request is made that came from `peer`: what `X-Forwarded-For` and `X-Forwarded-Proto` say counts only if
/// it comes from a proxy that is believed, and of several addresses the last that is none of those.
pub(crate) fn asked(proxies: &[Proxy], peer: IpAddr, is_tls: bool, headers: &HeaderMap) -> Asked {
    let is_believed = |address: IpAddr| proxies.iter().any(|proxy| proxy.is(address));
    let direct = Asked { from: peer.to_canonical(), is_secure: is_tls };
    if !is_believed(peer) {
        return direct;
    }
    let values = |name: &str| -> Vec<String> {
        let all = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|value| value.split(',')).map(|part| part.trim().to_owned()).collect()
    };
    let mut from = direct.from;
    for said in values("x-forwarded-for").iter().rev() {
        // Who says something else than an address says nothing, and nothing before it counts.
        let Ok(address) = said.parse::<IpAddr>() else { break };
        from = address.to_canonical();
        if !is_believed(from) {
            break;
        }
    }
    let is_secure = match values("x-forwarded-proto").last() {
        Some(scheme) => scheme.eq_ignore_ascii_case("https"),
        None => is_tls,
    };
    Asked { from, is_secure }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn told(proxies: &[&str], peer: &str, given: &[(&'static str, &'static str)]) -> String {
        let proxies: Vec<Proxy> =
            proxies.iter().map(|text| text.parse().expect("a proxy")).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let asked = asked(&proxies, peer.parse().expect("an address"), false, &headers);
        format!("{}{}", asked.from, if asked.is_secure { " secure" } else { "" })
    }

    #[test]
    fn only_named_proxies_are_believed() {
        let said = [("x-forwarded-for", "9.9.9.9, 8.8.8.8"), ("x-forwarded-proto", "https")];
        assert_eq!(told(&[], "10.0.0.7", &said), "10.0.0.7");
        assert_eq!(told(&["10.0.0.8"], "10.0.0.7", &said), "10.0.0.7");
        assert_eq!(told(&["10.0.0.7"], "10.0.0.7", &said), "8.8.8.8 secure");
        assert_eq!(told(&["10.0.0.0/24", "8.8.8.8"], "10.0.0.7", &said), "9.9.9.9 secure");
        assert_eq!(told(&["10.0.0.0/24"], "::ffff:10.0.0.7", &said), "8.8.8.8 secure");
        assert_eq!(told(&["10.0.0.7"], "10.0.0.7", &[]), "10.0.0.7");
        let odd = [("x-forwarded-for", "9.9.9.9, nobody"), ("x-forwarded-proto", "https,http")];
        assert_eq!(told(&["10.0.0.7"], "10.0.0.7", &odd), "10.0.0.7");
        assert_eq!(told(&["fd00::/8"], "fd00::1", &said), "8.8.8.8 secure");
    }

    #[test]
    fn addresses_are_read() {
        for wrong in ["", "proxy", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<Proxy>(), Err(NoProxy), "{wrong}");
        }
        for right in ["0.0.0.0/0", "::/0", "::1", "10.0.0.0/8"] {
            assert!(right.parse::<Proxy>().is_ok(), "{right}");
        }
    }
}
