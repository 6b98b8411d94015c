//! What holds for any bytes at all: bodies of the fuzz targets of this crate, by their names.

/// A fuzz target's name, also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("journal", crate::worker::hostile::any_bytes),
    ("window", crate::worker::hostile::window::any_bytes),
    ("sidecar", crate::worker::hostile::sidecar::any_bytes),
    ("notes", crate::launcher::hostile::any_bytes),
    ("proxy", crate::egress::hostile::any_bytes),
    ("agent", crate::agent::hostile::any_bytes),
];
