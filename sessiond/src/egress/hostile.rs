//! What holds for any bytes that a client of the proxy may send: one body for the fuzzer and for random tests.

use baton_proto::egress::AllowHosts;

use super::head::{Decision, HEAD_BYTES_MAX, judge};

/// The first byte chooses the list, the rest is the request.
///
/// # Panics
/// When a promise does not hold.
#[expect(clippy::panic, clippy::unwrap_used, reason = "what is promised is asserted")]
pub fn any_bytes(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let lists: [&[&str]; 4] = [&[], &["example.org"], &["*.example.net:443", "127.0.0.1:8080"], &["[::1]", "a"]];
    let list = AllowHosts::parse(lists[usize::from(first % 4)]).unwrap();
    let decision = judge(bytes, &list);
    match &decision {
        Decision::Tunnel { host, port, head } => assert!(list.allows(host, *port) && *head <= bytes.len()),
        Decision::Forward { host, port, head, rewritten } => {
            assert!(list.allows(host, *port) && *head <= bytes.len());
            // What is passed on is one head, and names the host that was judged, once.
            let mut headers = [httparse::EMPTY_HEADER; 128];
            let mut request = httparse::Request::new(&mut headers);
            assert_eq!(request.parse(rewritten), Ok(httparse::Status::Complete(rewritten.len())));
            let named: Vec<&[u8]> = request
                .headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case("host"))
                .map(|header| header.value)
                .collect();
            let whole = if *port == 80 { host.to_string() } else { format!("{host}:{port}") };
            assert_eq!(named, [whole.as_bytes()]);
        }
        Decision::Denied { host, port } => assert!(!list.allows(host, *port)),
        Decision::More => assert!(bytes.len() < HEAD_BYTES_MAX),
        Decision::Bad(why) => assert!(!why.is_empty()),
    }
    // A head that was understood is understood without what comes behind it, and with anything else there.
    if let Decision::Tunnel { head, .. } | Decision::Forward { head, .. } = &decision {
        assert_eq!(judge(&bytes[..*head], &list), decision);
        if let Some(shorter) = head.checked_sub(1)
            && judge(&bytes[..shorter], &list) != Decision::More
        {
            panic!("a head that is not whole was judged");
        }
    }
}
