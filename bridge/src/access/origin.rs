//! `Host` and `Origin`: no page of the internet reaches a user's shell, whatever its name resolves to.
//!
//! * Over TCP a request's `Host` must be a loopback name or address with our port, or one that is configured. A rebound
//!   DNS name is neither.
//! * `Origin`, if there is one, must be the page we serve: scheme, host and port of `Host`.

use std::net::IpAddr;

use baton_proto::ErrorCode;
use http::{HeaderMap, Uri, header};

use crate::problem::{Failure, Outcome};

/// What requests may call us.
#[derive(Debug, Clone)]
pub struct Names {
    /// The port we listen on; 0 before that is known.
    pub port: u16,
    /// Configured names, with or without a port.
    pub allowed: Vec<String>,
}

/// A name and a port of a `Host` header; `None` when it is no such thing.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.is_empty() || authority.contains(['/', '@', ' ', '\\']) {
        return None;
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address, Some(port.parse().ok()?))),
            None if rest.is_empty() => Some((address, None)),
            None => None,
        };
    }
    match authority.split_once(':') {
        Some((name, port)) => Some((name, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

fn is_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    // RFC 6761 section 6.3: browsers resolve `localhost` and what is below it to loopback without asking anybody.
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Names {
    /// Whether a `Host` is one of ours.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let Some((name, port)) = split(host) else { return false };
        let loopback = is_loopback(name) && port.unwrap_or(80) == self.port;
        loopback
            || self.allowed.iter().any(|allowed| {
                allowed.eq_ignore_ascii_case(host)
                    || split(allowed).is_some_and(|(known, port)| port.is_none() && known.eq_ignore_ascii_case(name))
            })
    }

    /// Checks a request's `Host` (TCP only) and `Origin` (always).
    ///
    /// # Errors
    /// `forbidden`, `invalid`.
    pub fn check(&self, headers: &HeaderMap, uri: &Uri, over_tcp: bool) -> Outcome<()> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            (None, _) => uri.authority().map(http::uri::Authority::as_str),
            (Some(_), Some(_)) => return Err(Failure::invalid("there are two `Host` headers")),
        };
        if over_tcp && !host.is_some_and(|host| self.allows(host)) {
            let detail = "this `Host` is not one of Baton's; add it to `server.allowed_hosts` if it should be";
            return Err(Failure::new(ErrorCode::Forbidden, detail));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let ours = origin.to_str().is_ok_and(|origin| host.is_some_and(|host| self.is_same(origin, host)));
            if !ours {
                let detail = "the request comes from another page: its `Origin` is not the one Baton serves";
                return Err(Failure::new(ErrorCode::Forbidden, detail));
            }
        }
        Ok(())
    }

    fn is_same(&self, origin: &str, host: &str) -> bool {
        let (scheme, authority) = match origin.split_once("://") {
            Some((scheme @ ("http" | "https"), authority)) => (scheme, authority),
            _ => return false,
        };
        let (Some(origin), Some(host)) = (split(authority), split(host)) else { return false };
        // We speak plain HTTP on loopback; TLS ends in a proxy, whose name is configured.
        let https_allowed = !is_loopback(host.0);
        let default = if scheme == "https" { 443 } else { 80 };
        (scheme == "http" || https_allowed)
            && origin.0.eq_ignore_ascii_case(host.0)
            && origin.1.unwrap_or(default) == host.1.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: Option<&str>, origin: Option<&str>, over_tcp: bool) -> bool {
        let names = Names { port: 7420, allowed: vec!["baton.example".to_owned(), "proxy.example:8443".to_owned()] };
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        names.check(&headers, &Uri::from_static("/v1/me"), over_tcp).is_ok()
    }

    #[test]
    fn a_host_is_loopback_with_our_port_or_configured() {
        for host in [
            "127.0.0.1:7420",
            "localhost:7420",
            "LOCALHOST:7420",
            "[::1]:7420",
            "127.9.9.9:7420",
            "a.localhost:7420",
            "baton.example",
            "baton.example:443",
            "proxy.example:8443",
        ] {
            assert!(check(Some(host), None, true), "{host}");
        }
        for host in [
            "127.0.0.1:7421",
            "127.0.0.1",
            "evil.example:7420",
            "localhost.evil.example:7420",
            "proxy.example:1",
            "",
            "127.0.0.1:7420@evil",
            "[::1:7420",
            "0.0.0.0:7420",
            "10.0.0.1:7420",
        ] {
            assert!(!check(Some(host), None, true), "{host}");
        }
        assert!(!check(None, None, true));
        assert!(check(None, None, false) && check(Some("baton"), None, false));
    }

    #[test]
    fn an_origin_is_the_page_we_serve() {
        let host = Some("127.0.0.1:7420");
        assert!(check(host, Some("http://127.0.0.1:7420"), true));
        for origin in [
            "http://127.0.0.1:3000",
            "http://localhost:7420",
            "https://127.0.0.1:7420",
            "null",
            "http://evil.example",
            "http://127.0.0.1:7420.evil.example",
            "file://",
            "",
        ] {
            assert!(!check(host, Some(origin), true), "{origin}");
        }
        assert!(check(Some("baton.example"), Some("https://baton.example"), true));
        assert!(!check(Some("baton.example"), Some("https://baton.example:444"), true));
        assert!(!check(Some("baton"), Some("http://evil.example"), false));
    }
}
