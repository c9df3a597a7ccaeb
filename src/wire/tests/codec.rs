//! Frames and bodies as bytes.

use bytes::BytesMut;
use proptest::prelude::*;

use super::super::exchange::{decode, encode};
use super::super::frame::{self, Frame, FrameError, Kind};
use super::super::frontend::{Document, EndpointDescription};
use super::*;

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Request, Kind::Answer, Kind::Refusal, Kind::Ping, Kind::Pong])
}

proptest! {
    #[test]
    fn frames_survive_any_cut(
        frames in prop::collection::vec(
            (any::<u64>(), kinds(), prop::collection::vec(any::<u8>(), 0..300)), 1..8),
        cuts in prop::collection::vec(1_usize..50, 1..40),
    ) {
        let stream: Vec<u8> =
            frames.iter().flat_map(|(id, kind, body)| frame::encode(*id, *kind, body)).collect();
        let mut buffer = BytesMut::new();
        let mut read = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            rest = later;
            buffer.extend_from_slice(now);
            while let Some(frame) = frame::take(&mut buffer, 300).unwrap() {
                read.push(frame);
            }
        }
        let expected: Vec<_> = frames
            .into_iter()
            .map(|(id, kind, body)| Frame { id, kind, body: body.into() })
            .collect();
        prop_assert_eq!(read, expected);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error_and_reserve_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut buffer = BytesMut::from(bytes.as_slice());
        let before = buffer.capacity();
        while let Ok(Some(frame)) = frame::take(&mut buffer, 1 << 20) {
            prop_assert!(frame.body.len() <= bytes.len());
        }
        prop_assert!(buffer.capacity() <= before);
    }

    #[test]
    fn any_body_decodes_or_fails(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Response>(&bytes);
        let _ = decode::<admin::Request>(&bytes);
        let _ = decode::<admin::Response>(&bytes);
        let _ = decode::<Refusal>(&bytes);
    }

    #[test]
    fn requests_come_back_whole_and_not_cut(
        endpoint in ".{0,40}",
        source in any::<IpAddr>(),
        message in prop::collection::vec(any::<u8>(), 0..500),
        cut in any::<prop::sample::Index>(),
    ) {
        let request = Request::PkiOperation { endpoint, source, message };
        let body = encode(&request, Request::MAX_MESSAGE).unwrap();
        prop_assert_eq!(&decode::<Request>(&body).unwrap(), &request);
        let cut = cut.index(body.len());
        prop_assert!(decode::<Request>(&body[..cut]).is_err());
        let longer = [body.as_slice(), &[0]].concat();
        prop_assert!(decode::<Request>(&longer).is_err());
    }

    #[test]
    fn hellos_come_back(protocol in any::<u8>(), version in any::<u16>(), in_flight in any::<u16>()) {
        let hello = Hello { protocol, verdict: Verdict::Full, version, in_flight };
        prop_assert_eq!(Hello::from_bytes(hello.to_bytes()), Some(hello));
    }
}

#[test]
fn a_length_bomb_is_refused_by_its_four_bytes() {
    let mut buffer = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
    let error = frame::take(&mut buffer, Request::MAX_MESSAGE).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
}

/// A body that claims four gigabytes of message, then of endpoints.
#[test]
fn a_length_bomb_inside_a_body_is_an_error() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let in_message = [&[1, 1, b'x', 0, 192, 0, 2, 1][..], &huge].concat();
    assert!(decode::<Request>(&in_message).is_err());
    let in_list = [&[0][..], &huge].concat();
    assert!(decode::<Response>(&in_list).is_err());
}

#[test]
fn descriptions_come_back() {
    let description = Response::Description {
        generation: 1,
        endpoints: vec![EndpointDescription {
            name: "device".to_owned(),
            paths: vec!["/scep/device".to_owned()],
            default: true,
            get_pki_operation: true,
            caps: b"AES\n".to_vec(),
            ca_content_type: "application/x-x509-ca-ra-cert".to_owned(),
            ca_body: vec![0x30, 0x80, 0xff],
            next_ca: Some(vec![0x30, 0x81, 0x00]),
        }],
        documents: vec![Document {
            path: "/crl/issuing.crl".to_owned(),
            media_type: "application/pkix-crl".to_owned(),
            max_age: 300,
            body: vec![0x30, 0, 0xff],
        }],
    };
    let body = encode(&description, Request::MAX_MESSAGE).unwrap();
    assert_eq!(decode::<Response>(&body).unwrap(), description);
    assert!(encode(&description, body.len() - 1).is_err());
}

#[test]
fn messages_stay_out_of_debug_output() {
    let shown = format!("{:?}", operation("device", b"canary"));
    assert!(shown.contains("6 bytes") && !shown.contains("99, 97"), "{shown}");
}
