//! What a client of the proxy asks for, and whether it may: the head of a request in, a decision out. Pure.
//!
//! | request | becomes |
//! | --- | --- |
//! | `CONNECT host:port` | a tunnel |
//! | `GET http://host/path` and the like | the same for that host alone, `Connection: close` |
//! | anything else | refused, with what to do |
//!
//! Bytes come from a program that may be hostile; the grammar is `httparse`'s. What is passed on is written anew from
//! what was understood, so that the host that was judged is the host that is named.

use std::fmt::Write as _;

use baton_proto::egress::{AllowHosts, Host, authority};

/// Bytes of a request's head. Servers take 8 to 16 KiB.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Lines of a head.
const HEADERS_MAX: usize = 100;

/// What to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Read more: the head has not ended.
    More,
    /// Connect and say so; then copy what comes behind the head.
    Tunnel {
        /// To which host.
        host: Host,
        /// At which port.
        port: u16,
        /// Bytes of the head.
        head: usize,
    },
    /// Connect and pass this head on; then copy what comes behind the one that was read.
    Forward {
        /// To which host.
        host: Host,
        /// At which port.
        port: u16,
        /// Bytes of the head that was read.
        head: usize,
        /// The head to pass on.
        rewritten: Vec<u8>,
    },
    /// Not on the list.
    Denied {
        /// Which host.
        host: Host,
        /// Which port.
        port: u16,
    },
    /// No request that is served here; why.
    Bad(&'static str),
}

/// Headers that are between a client and its proxy (RFC 9110, 7.6.1), and the host, which is written anew.
const NOT_PASSED_ON: &[&str] = &[
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "upgrade",
    "host",
];

/// Judges what has come so far.
#[must_use]
pub fn judge(bytes: &[u8], allowed: &AllowHosts) -> Decision {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= HEAD_BYTES_MAX => head,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Decision::More,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Decision::Bad("the head of the request is too long"),
        Err(_) => return Decision::Bad("this is an HTTP proxy, and the request is not HTTP/1"),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Decision::Bad("the request has no target");
    };
    if method == "CONNECT" {
        let Ok((host, port)) = authority(target, None) else {
            return Decision::Bad("`CONNECT` takes `host:port`");
        };
        return if allowed.allows(&host, port) {
            Decision::Tunnel { host, port, head }
        } else {
            Decision::Denied { host, port }
        };
    }
    let Some(rest) = target.get(..7).filter(|it| it.eq_ignore_ascii_case("http://")).and_then(|_| target.get(7..))
    else {
        return Decision::Bad("a proxy is asked for `http://host/path`, or with `CONNECT host:port` for anything else");
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    // A name and a password before the host have no meaning in a request (RFC 9110, 4.2.4), and hide where it goes.
    let Ok((host, port)) = authority(place, Some(80)) else {
        return Decision::Bad("the address names no host");
    };
    if !allowed.allows(&host, port) {
        return Decision::Denied { host, port };
    }
    let rewritten = rewrite(method, path, &host, port, request.headers);
    Decision::Forward { host, port, head, rewritten }
}

fn rewrite(method: &str, path: &str, host: &Host, port: u16, headers: &[httparse::Header<'_>]) -> Vec<u8> {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {host}");
    if port != 80 {
        // Writing to a string does not fail.
        let _ = write!(head, ":{port}");
    }
    head.push_str("\r\nConnection: close\r\n");
    let mut head = head.into_bytes();
    // What `Connection` names is between these two as well.
    let named: Vec<String> = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"))
        .flat_map(|header| {
            String::from_utf8_lossy(header.value)
                .split(',')
                .map(|it| it.trim().to_ascii_lowercase())
                .collect::<Vec<_>>()
        })
        .collect();
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        if NOT_PASSED_ON.contains(&name.as_str()) || named.contains(&name) {
            continue;
        }
        head.extend_from_slice(header.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(header.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::hostile::any_bytes;
    use super::*;

    fn list() -> AllowHosts {
        AllowHosts::parse(&["example.org", "*.example.net:443", "127.0.0.1:8080"]).unwrap()
    }

    fn name(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn tunnels_and_requests_go_where_they_may() {
        let connect = b"CONNECT a.example.net:443 HTTP/1.1\r\nHost: other.test\r\n\r\nTLS";
        assert_eq!(
            judge(connect, &list()),
            Decision::Tunnel { host: name("a.example.net"), port: 443, head: connect.len() - 3 }
        );
        let get = b"GET HTTP://Example.org/a?b#c HTTP/1.1\r\nHost: other.test\r\nProxy-Connection: keep-alive\r\n\
                    Connection: X-Mine\r\nX-Mine: 1\r\nAccept: */*\r\n\r\n";
        let Decision::Forward { host, port, head, rewritten } = judge(get, &list()) else { panic!() };
        assert_eq!((host, port, head), (name("example.org"), 80, get.len()));
        assert_eq!(
            String::from_utf8(rewritten).unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        );
        let Decision::Forward { rewritten, .. } = judge(b"GET http://127.0.0.1:8080 HTTP/1.0\r\n\r\n", &list()) else {
            panic!()
        };
        assert!(rewritten.starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
    }

    #[test]
    fn everything_else_is_refused() {
        let denied = |request: &str| matches!(judge(request.as_bytes(), &list()), Decision::Denied { .. });
        for request in [
            "CONNECT evil.test:443 HTTP/1.1\r\n\r\n",
            "CONNECT a.example.net:22 HTTP/1.1\r\n\r\n",
            "GET http://evil.test/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
            "GET http://127.0.0.1:80/ HTTP/1.1\r\n\r\n",
            "GET http://example.org.evil.test/ HTTP/1.1\r\n\r\n",
        ] {
            assert!(denied(request), "{request:?}");
        }
        let bad = |request: &[u8]| matches!(judge(request, &list()), Decision::Bad(_));
        for request in [
            &b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"[..],
            b"GET https://example.org/ HTTP/1.1\r\n\r\n",
            b"GET http://example.org@evil.test/ HTTP/1.1\r\n\r\n",
            b"GET http://evil.test\\example.org/ HTTP/1.1\r\n\r\n",
            b"CONNECT example.org HTTP/1.1\r\n\r\n",
            b"CONNECT http://example.org:443 HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"\x05\x01\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert!(bad(request), "{:?}: {:?}", String::from_utf8_lossy(request), judge(request, &list()));
        }
        let long = format!("GET http://example.org/{} HTTP/1.1\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
        assert!(bad(long.as_bytes()) && bad(&long.as_bytes()[..HEAD_BYTES_MAX]));
        let many = format!("GET http://example.org/ HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(bad(many.as_bytes()));
    }

    #[test]
    fn every_beginning_of_a_request_waits() {
        let request = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nUser-Agent: x\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(judge(&request[..end], &list()), Decision::More, "{end}");
        }
        assert!(matches!(judge(request, &list()), Decision::Tunnel { head, .. } if head == request.len()));
    }

    proptest! {
        /// Whatever comes: no panic, and nothing that is not on the list.
        #[test]
        fn bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            any_bytes(&bytes);
        }

        #[test]
        fn requests_are_judged(
            method in "(GET|CONNECT|POST|[A-Z]{0,9})",
            target in "(http://)?[a-z0-9.:@\\[\\]/*%-]{0,60}",
            headers in prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,40}"), 0..8),
        ) {
            let mut request = format!("{method} {target} HTTP/1.1\r\n");
            for (name, value) in headers {
                write!(request, "{name}: {value}\r\n").unwrap();
            }
            request.push_str("\r\n");
            for list in 0..4 {
                let mut bytes = vec![list];
                bytes.extend_from_slice(request.as_bytes());
                any_bytes(&bytes);
            }
        }
    }
}
