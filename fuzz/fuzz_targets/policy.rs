#![no_main]

// Its body lives in the crate, whose tests run it on stable.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| baton_bridge::policy::hostile::any_bytes(bytes));
