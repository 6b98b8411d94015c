//! What stands in front of Baton: reverse proxies that are trusted, and `tailscale serve`.
//!
//! Nobody's word is taken for where a request comes from but a configured proxy's.
//!
//! | header | believed | for |
//! | --- | --- | --- |
//! | `X-Forwarded-For` | from `server.trusted_proxies` | whose rate limit it counts for |
//! | `X-Forwarded-Proto` | from there, and from loopback where `server.tailscale` is set | whether cookies are `Secure` and links `https:` |
//! | `Tailscale-User-Login` | from loopback, not from a trusted proxy, for a configured name | `POST /v1/auth/login` without token and code |
//!
//! An address that is not loopback is for those proxies alone: whoever else connects there is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use baton_proto::ErrorCode;
use baton_proto::api::PrincipalRole;
use baton_proto::config::Server;
use http::{HeaderMap, header};

use super::Principal;
use crate::gate::Peer;
use crate::problem::{Failure, Outcome};

/// What the id of a principal begins with that a proxy named.
pub const TAILSCALE_PREFIX: &str = "tailscale:";
/// Longest login name.
const LOGIN_BYTES_MAX: usize = 256;
/// The addresses that Tailscale gives to machines, its documentation says.
const TAILNET: [Network; 2] = [
    Network { address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), bits: 10 },
    Network { address: IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0)), bits: 48 },
];

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// An address, or an address and a number of bits.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        Some(Self { address, bits: bits.unwrap_or(most) }).filter(|network| network.bits <= most)
    }

    fn has(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= bits,
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros() >= bits,
            _ => false,
        }
    }
}

/// What is configured of them.
#[derive(Debug, Clone)]
pub struct Proxies {
    trusted: Vec<Network>,
    /// Whether the address listened on is not loopback.
    remote: bool,
    people: BTreeMap<String, PrincipalRole>,
}

/// How a request reached us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Face {
    /// Whose it is; none over `bridge.sock`.
    pub address: Option<IpAddr>,
    /// Whether the browser speaks TLS to whoever is in front.
    pub https: bool,
    /// The name in `tailscale serve`'s header, if it may be believed.
    pub tailscale: Option<String>,
}

impl Proxies {
    /// Reads the configuration.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn new(server: &Server, listen: SocketAddr) -> Result<Self, String> {
        let network = |text: &String| {
            let network = Network::parse(text.trim());
            network.ok_or_else(|| format!("`server.trusted_proxies`: `{text}` is no address and no network"))
        };
        for (login, role) in &server.tailscale {
            if login.is_empty() || login.len() > LOGIN_BYTES_MAX || login.chars().any(char::is_control) {
                return Err("`server.tailscale` names logins such as `ada@example.com`".to_owned());
            }
            if *role == PrincipalRole::Agent {
                return Err(format!("`server.tailscale`: `{login}` is a person; make a token for an agent"));
            }
        }
        Ok(Self {
            trusted: server.trusted_proxies.iter().map(network).collect::<Result<_, _>>()?,
            remote: !listen.ip().to_canonical().is_loopback(),
            people: server.tailscale.clone(),
        })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.has(address))
    }

    /// Refuses who connects without TLS and from elsewhere, where nobody but a proxy should.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn admit(&self, peer: Peer) -> Outcome<()> {
        match peer {
            Peer::Tcp(address) if self.remote && !address.is_loopback() && !self.trusts(address) => {
                let detail =
                    "this address is for the reverse proxies in `server.trusted_proxies` alone: use their name";
                Err(Failure::new(ErrorCode::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }

    /// How a request reached us.
    #[must_use]
    pub fn face(&self, peer: Peer, headers: &HeaderMap) -> Face {
        let Peer::Tcp(peer) = peer else { return Face::default() };
        let trusted = self.trusts(peer);
        let serves = peer.is_loopback() && !trusted && !self.people.is_empty();
        let address = if trusted { self.client(headers).unwrap_or(peer) } else { peer };
        let https = (trusted || serves) && only(headers, "x-forwarded-proto") == Some("https");
        let tailscale = if serves { self.named(headers) } else { None };
        Face { address: Some(address), https, tailscale }
    }

    /// The address nearest to us that is none of the proxies' own: what is before it was said by who knows whom.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default()).collect();
        let mut nearest = None;
        for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            let Some(address) = address(entry.trim()) else { break };
            nearest = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }

    /// `tailscale serve` sets both headers itself, whatever the client sent. Another proxy on this host that is not
    /// configured passes a client's on; it does not come from an address of the tailnet, unless it says so as well.
    fn named(&self, headers: &HeaderMap) -> Option<String> {
        let from = address(only(headers, "x-forwarded-for")?)?;
        let login = only(headers, "tailscale-user-login")?;
        let known = TAILNET.iter().any(|network| network.has(from)) && self.people.contains_key(login);
        known.then(|| login.to_owned())
    }

    /// Who is behind the id of a principal that was made from such a name.
    #[must_use]
    pub fn principal(&self, id: &str) -> Option<Principal> {
        let login = id.strip_prefix(TAILSCALE_PREFIX)?;
        let role = *self.people.get(login)?;
        Some(Principal::new(id.to_owned(), login.to_owned(), role))
    }
}

/// A header that is there exactly once, and is text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let socket = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(socket).map(|address: IpAddr| address.to_canonical())
}

/// The base of a link: what the browser that asks calls us, or `url`.
#[must_use]
pub fn base_url(face: Option<&Face>, headers: &HeaderMap, url: &str) -> String {
    // Both were checked by the gate: the host is ours, and the origin is that host's.
    let over_tcp = face.is_some_and(|face| face.address.is_some());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|_| over_tcp);
    let Some(host) = host else { return url.to_owned() };
    let from_https = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let https = from_https || face.is_some_and(|face| face.https);
    format!("{}://{host}", if https { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(listen: &str) -> Proxies {
        let server = Server {
            trusted_proxies: vec!["10.0.0.1".to_owned(), "fd00::/8".to_owned(), "127.0.0.2".to_owned()],
            tailscale: BTreeMap::from([("ada@example.com".to_owned(), PrincipalRole::Collaborator)]),
            ..Server::default()
        };
        Proxies::new(&server, listen.parse().unwrap()).unwrap()
    }

    fn tcp(address: &str) -> Peer {
        Peer::Tcp(address.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_address_that_is_not_loopback_is_for_proxies_alone() {
        let (open, local) = (proxies("0.0.0.0:1"), proxies("127.0.0.1:1"));
        for (peer, admitted) in [("10.0.0.1", true), ("127.0.0.1", true), ("fd00::7", true), ("10.0.0.2", false)] {
            assert_eq!(open.admit(tcp(peer)).is_ok(), admitted, "{peer}");
            assert!(local.admit(tcp(peer)).is_ok());
        }
        assert!(open.admit(Peer::Unix).is_ok());
    }

    #[test]
    fn who_is_behind_a_proxy_is_said_by_the_nearest_trusted_one() {
        let proxies = proxies("0.0.0.0:1");
        let address = |peer: &str, forwarded: &[(&'static str, &str)]| {
            proxies.face(tcp(peer), &headers(forwarded)).address.unwrap().to_string()
        };
        assert_eq!(address("10.0.0.1", &[("x-forwarded-for", "192.0.2.7")]), "192.0.2.7");
        assert_eq!(
            address("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 192.0.2.7")]),
            "192.0.2.7",
            "said by the client"
        );
        assert_eq!(address("10.0.0.1", &[("x-forwarded-for", "192.0.2.7, fd00::3")]), "192.0.2.7");
        assert_eq!(address("10.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:99")]), "2001:db8::1");
        assert_eq!(address("10.0.0.1", &[("x-forwarded-for", "nonsense")]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, nonsense")]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address("10.0.0.9", &[("x-forwarded-for", "192.0.2.7")]), "10.0.0.9", "nobody trusts this one");
        assert_eq!(address("127.0.0.1", &[("x-forwarded-for", "192.0.2.7")]), "127.0.0.1");
        let https = |peer: &str| proxies.face(tcp(peer), &headers(&[("x-forwarded-proto", "https")])).https;
        assert!(https("10.0.0.1") && https("127.0.0.1") && !https("10.0.0.9"));
    }

    #[test]
    fn a_tailscale_name_is_believed_from_loopback_alone() {
        let proxies = proxies("0.0.0.0:1");
        let good = [("tailscale-user-login", "ada@example.com"), ("x-forwarded-for", "100.101.102.103")];
        let named = |peer: Peer, pairs: &[(&'static str, &str)]| proxies.face(peer, &headers(pairs)).tailscale;
        assert_eq!(named(tcp("127.0.0.1"), &good).as_deref(), Some("ada@example.com"));
        assert_eq!(
            named(tcp("::1"), &[good[0], ("x-forwarded-for", "fd7a:115c:a1e0::5")]).as_deref(),
            Some("ada@example.com")
        );
        for peer in [tcp("10.0.0.1"), tcp("10.0.0.9"), tcp("100.101.102.103"), tcp("127.0.0.2"), Peer::Unix] {
            assert_eq!(named(peer, &good), None, "{peer:?}");
        }
        for pairs in [
            vec![good[0]],
            vec![good[0], ("x-forwarded-for", "192.0.2.7")],
            vec![good[0], ("x-forwarded-for", "100.101.102.103, 192.0.2.7")],
            vec![good[1], ("tailscale-user-login", "eve@example.com")],
            vec![good[1], ("tailscale-user-login", "ADA@example.com")],
            vec![good[1]],
        ] {
            assert_eq!(named(tcp("127.0.0.1"), &pairs), None, "{pairs:?}");
        }
        let mut twice = headers(&good);
        twice.append("tailscale-user-login", "eve@example.com".parse().unwrap());
        assert_eq!(proxies.face(tcp("127.0.0.1"), &twice).tailscale, None);
        let plain = Proxies::new(&Server::default(), "127.0.0.1:1".parse().unwrap()).unwrap();
        assert_eq!(plain.face(tcp("127.0.0.1"), &headers(&good)).tailscale, None, "nothing is configured");
        assert_eq!(proxies.principal("tailscale:ada@example.com").unwrap().role, PrincipalRole::Collaborator);
        assert_eq!(proxies.principal("tailscale:eve@example.com"), None);
        assert_eq!(proxies.principal("ada@example.com"), None);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let listen = "127.0.0.1:1".parse().unwrap();
        for bad in ["proxy", "10.0.0.1/33", "10.0.0.1/", "", "::1/129"] {
            let server = Server { trusted_proxies: vec![bad.to_owned()], ..Server::default() };
            assert!(Proxies::new(&server, listen).is_err(), "{bad}");
        }
        let people = BTreeMap::from([("bot@example.com".to_owned(), PrincipalRole::Agent)]);
        let server = Server { tailscale: people, ..Server::default() };
        assert!(Proxies::new(&server, listen).unwrap_err().contains("bot@example.com"));
    }

    #[test]
    fn a_link_names_the_page_as_its_maker_sees_it() {
        let face = Face { address: Some([127, 0, 0, 1].into()), ..Face::default() };
        let base = |face: &Face, pairs: &[(&'static str, &str)]| base_url(Some(face), &headers(pairs), "http://x:1");
        assert_eq!(base(&face, &[("host", "127.0.0.1:7420")]), "http://127.0.0.1:7420");
        assert_eq!(base(&face, &[("host", "a.example"), ("origin", "https://a.example")]), "https://a.example");
        let proxied = Face { https: true, ..face };
        assert_eq!(base(&proxied, &[("host", "a.example")]), "https://a.example");
        assert_eq!(base(&Face::default(), &[("host", "localhost")]), "http://x:1", "over the Unix socket");
    }
}
