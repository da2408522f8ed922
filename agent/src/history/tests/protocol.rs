use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use proptest::prelude::*;

use super::fixture::{Did, Host, origin};
use crate::history::{
    BUDGET, Store, Window,
    dictionary::Values,
    packed::unpack,
    protocol::{Answer, Head, Request, Unread, frame},
    window::{Extent, Found},
};

const WINDOW: Window = Window {
    since: Duration::from_mins(30),
    until: Duration::ZERO,
};

fn found() -> Found {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    for _ in 0..3 {
        let model = host.second(&[(2, Did::Ran(0.5)), (3, Did::Waited(0.1, 0.2, 2))]);
        store.add(&model).unwrap();
    }
    store.find(WINDOW).unwrap()
}

#[test]
fn messages_are_what_they_were() {
    let request = Request::new(WINDOW);
    let sent = frame(&request).unwrap();
    expect![[r#"{"protocol":"crosstalk.history/2","window":{"since":{"secs":1800,"nanos":0},"until":{"secs":0,"nanos":0}}}"#]]
        .assert_eq(std::str::from_utf8(&sent).unwrap());
    assert_eq!(Request::parse(&sent), Ok(request));
    let head = Head::new(Answer::Found {
        origin: origin(),
        extent: found().extent,
        slices: 3,
    });
    assert_eq!(Head::parse(&frame(&head).unwrap()), Ok(head));
}

#[test]
fn another_version_is_named() {
    let unread = Request::parse(br#"{"protocol":"crosstalk.history/9","anything":1}"#);
    assert_eq!(unread, Err(Unread::Version("crosstalk.history/9".into())));
    expect!["it speaks `crosstalk.history/9`, and this `crosstalk.history/2`"]
        .assert_eq(&unread.unwrap_err().to_string());
}

/// What agents and reports of one version send each other must not change unnoticed: when this
/// fails, the version in the protocol must rise.
#[test]
fn slices_of_this_version_have_this_layout() {
    let found = found();
    let plain: usize = found.slices.iter().map(|slice| inflated(slice).len()).sum();
    let names = found.names.encode().unwrap();
    let sum = |bytes: &[u8]| {
        let sum = bytes.iter().fold(0u64, |sum, byte| {
            sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)
        });
        format!("{sum:016x}")
    };
    let slices: Vec<u8> = found
        .slices
        .iter()
        .flat_map(|slice| inflated(slice))
        .collect();
    expect!["1692 322d0951063aa59a 1121 5d1bfb2afa700d02"].assert_eq(&format!(
        "{plain} {} {} {}",
        sum(&slices),
        names.len(),
        sum(&names)
    ));
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(bytes), &mut plain).unwrap();
    plain
}

/// A store's answer with some bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let plain = inflated(&found().slices[0]);
    let changes = prop::collection::vec((0..plain.len(), any::<u8>()), 0..6);
    (changes, 0..=plain.len()).prop_map(move |(changes, length)| {
        let mut plain = plain.clone();
        for (at, byte) in changes {
            plain[at] = byte;
        }
        plain.truncate(length);
        let mut deflated =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut deflated, &plain).unwrap();
        deflated.finish().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Request::parse(&bytes);
        let _ = Head::parse(&bytes);
        let _ = Values::decode(&bytes);
        let _ = unpack(&bytes);
    }

    #[test]
    fn any_text_is_a_message_or_an_error(
        protocol in prop_oneof![Just("crosstalk.history/2".to_owned()), ".*"],
        rest in ".*",
    ) {
        let text = format!("{{\"protocol\":{protocol:?},{rest}}}");
        let _ = Request::parse(text.as_bytes());
        let _ = Head::parse(text.as_bytes());
    }

    #[test]
    fn damaged_slices_are_an_interval_or_an_error(bytes in damaged()) {
        let whole = found();
        let damaged = Found {
            slices: vec![Bytes::from(bytes)],
            extent: Extent { to: Duration::MAX, ..whole.extent },
            names: whole.names,
        };
        let _ = damaged.model();
    }
}
