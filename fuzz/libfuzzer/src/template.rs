#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wf_fuzz::template::check(input));
