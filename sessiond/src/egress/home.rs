//! Whether an address is one of this host's own. What is bound to one of those is at home, however public the address is: a
//! service on a rented machine's only address, for instance, which means its neighbours or nobody.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Whether what is sent to the address arrives at this host. Asked anew each time: addresses come and go.
///
/// # Errors
/// The kernel does not say which addresses there are; whoever asks has to take the answer for a yes then.
pub fn is_own(address: SocketAddr) -> io::Result<bool> {
    Ok(on_an_interface(address.ip())? || comes_back(address))
}

/// An interface has it. That includes further addresses of an interface, for which the kernel chooses the first one as the
/// source, so that a look at the way alone would miss them.
fn on_an_interface(address: IpAddr) -> io::Result<bool> {
    let address = address.to_canonical();
    Ok(getifaddrs()?.filter_map(|interface| ip(&interface.address?)).any(|own| own == address))
}

/// The way there begins where it ends. That includes whole networks that are routed to this host (`ip route add local`).
/// Nothing is sent: a socket for datagrams only looks up its way when it is connected.
fn comes_back(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let source = UdpSocket::bind(any).and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()));
    // Without a way there a connection fails for the same reason.
    source.is_ok_and(|source| source.ip().to_canonical() == address.ip().to_canonical())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip()).to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_own() {
        let own = |address: &str| is_own(SocketAddr::new(address.parse().unwrap(), 80)).unwrap();
        assert!(own("127.0.0.1") && own("::ffff:127.0.0.1"));
        assert!(comes_back(([127, 0, 0, 1], 80).into()), "it is found by its way as well");
        // For documentation (RFC 5737, 3849): nobody's.
        assert!(!own("192.0.2.7") && !own("2001:db8::7"));
    }
}
