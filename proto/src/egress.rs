//! Which hosts a confined session may reach: a list of names, addresses and ports, and whether one is on it. Pure; who holds
//! sessions to it is `baton-sessiond egress`.
//!
//! | written | allows |
//! | --- | --- |
//! | `example.org` | this name, any port |
//! | `example.org:443` | this name, this port |
//! | `*.example.org` | every name below it, not itself |
//! | `192.0.2.7`, `[2001:db8::7]:8080` | this address |
//!
//! A name that is allowed does not allow every address it leads to: one of this host or of a private network has to be on
//! the list itself. Who answers for a name could otherwise lead a session to what listens at home.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most entries of a session's list.
pub const ALLOW_HOSTS_MAX: usize = 64;

/// Most bytes of an entry: a name has 253 (RFC 1035), and there are `*.`, brackets and a port.
pub const ALLOW_HOST_BYTES_MAX: usize = 264;

/// Where a session finds its proxy: a port of the loopback interface that is its own. What proxies are called for long.
pub const PROXY_PORT: u16 = 3128;

/// An entry that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` is no host: {why}")]
pub struct NoHost {
    /// What was written, printable.
    pub entry: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A host as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case, without the dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Exactly(Host),
    /// With the dot: `.example.org`.
    Below(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    which: Which,
    port: Option<u16>,
}

/// A session's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowHosts {
    entries: Vec<Entry>,
}

impl Host {
    /// Reads a name or an address; brackets around one of IPv6 are taken off.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(bare) = bare {
            return bare.parse::<Ipv6Addr>().map(|it| Self::of(it.into())).map_err(|_| "no IPv6 address in brackets");
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::of(address));
        }
        name(text).map(Self::Name)
    }

    /// An IPv4 address that is written as one of IPv6 is the IPv4 address.
    fn of(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > 253 {
        return Err("a name has 1 to 253 bytes");
    }
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
    };
    if !text.split('.').all(label) {
        return Err(
            "a name is made of letters, digits, `-` and dots (`*.` only at its beginning; other letters as punycode)",
        );
    }
    // `127.1` and `0x7f.1` are addresses to some programs (inet_aton(3)), and names to nobody.
    let last = text.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x") {
        return Err("an address is written whole: 192.0.2.7");
    }
    Ok(text.to_ascii_lowercase())
}

/// Host and port of `host`, `host:port`, `[address]` or `[address]:port`; an IPv6 address without brackets has no port.
fn split(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let Some(port) = port else { return Ok((host, None)) };
    let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0).ok_or("a port is a number up to 65535")?;
    Ok((host, Some(port)))
}

/// Host and port of an authority, as in `CONNECT host:port`.
///
/// # Errors
/// What is wrong with it.
pub fn authority(text: &str, port_default: Option<u16>) -> Result<(Host, u16), &'static str> {
    if text.len() > ALLOW_HOST_BYTES_MAX {
        return Err("it is too long");
    }
    let (host, port) = split(text)?;
    let port = port.or(port_default).ok_or("it has no port")?;
    Ok((Host::parse(host)?, port))
}

impl AllowHosts {
    /// Reads a list.
    ///
    /// # Errors
    /// [`NoHost`] for the first entry that is none, or a list that is too long.
    pub fn parse<T: AsRef<str>>(list: &[T]) -> Result<Self, NoHost> {
        let refused = |entry: &str, why| NoHost {
            entry: entry.chars().take(64).collect::<String>().escape_debug().to_string(),
            why,
        };
        if list.len() > ALLOW_HOSTS_MAX {
            return Err(refused("…", "a session has at most 64 of them"));
        }
        let entry = |entry: &T| {
            let entry = entry.as_ref();
            one(entry).map_err(|why| refused(entry, why))
        };
        Ok(Self { entries: list.iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// Whether this host may be asked for at this port.
    #[must_use]
    pub fn allows(&self, host: &Host, port: u16) -> bool {
        self.entries.iter().any(|entry| {
            let there = match (&entry.which, host) {
                (Which::Exactly(allowed), host) => allowed == host,
                (Which::Below(suffix), Host::Name(name)) => {
                    name.len() > suffix.len() && name.ends_with(suffix.as_str())
                }
                (Which::Below(_), Host::Address(_)) => false,
            };
            there && entry.port.is_none_or(|allowed| allowed == port)
        })
    }

    /// Whether a host is on it as such, at any port.
    #[must_use]
    pub fn means(&self, host: &str) -> bool {
        let host = Host::parse(host).map(Which::Exactly);
        host.is_ok_and(|host| self.entries.iter().any(|entry| entry.which == host))
    }

    /// Whether there are names on it, and not addresses alone.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.entries.iter().any(|entry| !matches!(entry.which, Which::Exactly(Host::Address(_))))
    }

    /// Whether an address may be connected to, that an allowed name led to, as far as the address tells: which ones are this
    /// host's own only its kernel knows.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        is_public(address) || self.allows(&Host::of(address), port)
    }
}

fn one(entry: &str) -> Result<Entry, &'static str> {
    if entry.len() > ALLOW_HOST_BYTES_MAX {
        return Err("it is too long");
    }
    if entry.contains("://") {
        return Err("it has a scheme; drop that and any path: `example.org`, or `example.org:443` for one port");
    }
    let (host, port) = split(entry)?;
    let which = match host.strip_prefix("*.") {
        Some(rest) => match Host::parse(rest)? {
            Host::Name(name) => Which::Below(format!(".{name}")),
            Host::Address(_) => return Err("there is nothing below an address"),
        },
        None => Which::Exactly(Host::parse(host)?),
    };
    Ok(Entry { which, port })
}

/// Whether an address belongs to the internet: not to this host, its network, or a use of its own (RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let own = address.is_loopback() || address.is_private() || address.is_link_local() || a == 0;
    // Shared by providers and their customers (RFC 6598), for tests of networks (2544), of the IETF (6890).
    let shared = a == 100 && (b & 0b1100_0000) == 64;
    let reserved = a >= 240 || (a == 198 && (b & 0xfe) == 18) || (a == 192 && b == 0 && c == 0);
    !(own || shared || reserved || address.is_multicast() || address.is_documentation())
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let own =
        address.is_unspecified() || address.is_loopback() || (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfe80;
    // Each of these carries an IPv4 address that a translator or a tunnel would go on to: 64:ff9b::/96 and 64:ff9b:1::/48
    // (RFC 6052, 8215), 2002::/16 (3056), 2001::/32 (4380).
    let carries = (first == 0x64 && second == 0xff9b) || first == 0x2002 || (first == 0x2001 && second == 0);
    let reserved = first == 0x100 || (first == 0x2001 && second == 0xdb8) || (first & 0xffc0) == 0xfec0;
    // Only 2000::/3 has been given to anybody.
    let given = (first & 0xe000) == 0x2000;
    given && !(own || carries || reserved || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowHosts {
        AllowHosts::parse(entries).unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_allowed() {
        let allowed =
            list(&["example.org", "*.Example.net.", "git.example.com:22", "192.0.2.7", "[2001:db8::7]:8080", "::1"]);
        let table = [
            ("example.org", 443, true),
            ("EXAMPLE.org.", 8080, true),
            ("www.example.org", 443, false),
            ("example.org.evil.test", 443, false),
            ("notexample.net", 443, false),
            ("example.net", 443, false),
            ("a.example.net", 443, true),
            ("a.b.example.net", 80, true),
            ("git.example.com", 22, true),
            ("git.example.com", 443, false),
            ("192.0.2.7", 1, true),
            ("192.0.2.8", 1, false),
            ("[2001:db8::7]", 8080, true),
            ("[2001:db8::7]", 80, false),
            ("[::1]", 80, true),
            ("[::ffff:192.0.2.7]", 80, true),
        ];
        for (host, port, expected) in table {
            assert_eq!(allowed.allows(&Host::parse(host).unwrap(), port), expected, "{host}:{port}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            "*",
            "*.",
            ".",
            "a..b",
            "exa mple.org",
            "a/b",
            "http://a",
            "a:0",
            "a:65536",
            "a:x",
            "a:",
            "*.1.2.3.4",
            "a.*.b",
            "127.1",
            "0x7f000001",
            "[::1",
            "[a]",
            "ä.example",
            "a\u{0}b",
            "2130706433",
            "user@host",
        ] {
            let refused = AllowHosts::parse(&[bad]);
            assert!(refused.is_err(), "{bad:?}: {refused:?}");
        }
        let refused = AllowHosts::parse(&["http://example.org/a"]).unwrap_err().to_string();
        assert!(refused.contains("drop") && refused.contains("scheme"), "{refused}");
        assert!(AllowHosts::parse(&[&*"a.".repeat(200)]).is_err());
        assert!(AllowHosts::parse(&vec!["a"; ALLOW_HOSTS_MAX]).is_ok());
        assert!(AllowHosts::parse(&vec!["a"; ALLOW_HOSTS_MAX + 1]).is_err());
    }

    #[test]
    fn authorities_have_a_port() {
        assert_eq!(authority("a.example:443", None), Ok((Host::Name("a.example".to_owned()), 443)));
        assert_eq!(authority("[::1]:443", None), Ok((Host::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)), 443)));
        assert_eq!(authority("a.example", Some(80)), Ok((Host::Name("a.example".to_owned()), 80)));
        assert!(list(&["127.0.0.1:80"]).means("127.0.0.1") && !list(&["127.0.0.2", "*.localhost"]).means("localhost"));
        assert!(list(&["192.0.2.7", "a.example"]).has_names() && !list(&["192.0.2.7:80"]).has_names());
        for bad in ["a.example", "a.example:", ":443", "", "a:b:443", "[::1]443"] {
            assert!(authority(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_name_leads_home_unless_home_is_listed() {
        let home = [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "fec0::1",
            "2001:db8::1",
        ];
        let any = list(&["example.org"]);
        for address in home {
            let parsed: IpAddr = address.parse().unwrap();
            assert!(!is_public(parsed) && !any.allows_address(parsed, 80), "{address}");
            let listed = list(&[address]);
            assert!(listed.allows_address(parsed, 80), "{address}");
        }
        for public in ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "2a00:1450::1"] {
            assert!(any.allows_address(public.parse().unwrap(), 80), "{public}");
        }
        assert!(!list(&["127.0.0.1:80"]).allows_address("127.0.0.1".parse().unwrap(), 81));
    }
}
