use super::*;
use crate::store::{Generation, Stamp};

const LIMIT: usize = 64;

fn round_trip(reason: &Release) -> Notice {
    parse(&release(reason, LIMIT).into()).unwrap()
}

fn shared(len: usize) -> Release {
    Release::Shared(Value::encoded(vec![b' '; len]))
}

#[test]
fn every_reason_survives_the_wire() {
    assert!(matches!(round_trip(&Release::Pass), Notice::Released(Release::Pass)));
    assert!(matches!(
        round_trip(&Release::Abandoned),
        Notice::Released(Release::Abandoned)
    ));
    assert!(matches!(round_trip(&Release::Stale), Notice::Released(Release::Stale)));
    for (said, expected) in [(0, 1), (1, 1), (42, 42), (999, 999), (u32::MAX, 999)] {
        let notice = round_trip(&Release::Broken { failures: said });
        let Notice::Released(Release::Broken { failures }) = notice else {
            panic!("{notice:?}");
        };
        assert_eq!(failures, expected);
        let notice = round_trip(&Release::Declined { attempts: said });
        let Notice::Released(Release::Declined { attempts }) = notice else {
            panic!("{notice:?}");
        };
        assert_eq!(attempts, expected);
    }
    for text in ["", "out of  cheese", "größer\nals"] {
        let notice = round_trip(&Release::Failed(RemoteError::new(text)));
        let Notice::Released(Release::Failed(error)) = notice else {
            panic!("{notice:?}");
        };
        assert_eq!(error.message(), text);
    }
    for len in [0, 1, LIMIT] {
        let notice = round_trip(&shared(len));
        let Notice::Released(Release::Shared(value)) = notice else {
            panic!("{notice:?}");
        };
        assert_eq!(value.bytes().unwrap(), vec![b' '; len]);
    }
}

#[test]
fn an_encoded_error_survives_the_wire_and_no_text_passes_for_one() {
    let heard = |error: RemoteError| match round_trip(&Release::Failed(error)) {
        Notice::Released(Release::Failed(error)) => error,
        notice => panic!("{notice:?}"),
    };
    for encoding in ["", "{\"NotFound\":7}", "a\0b"] {
        let error = RemoteError::new("no user").with_encoding(encoding);
        assert_eq!(heard(error.clone()), error);
    }
    let forged = heard(RemoteError::new("no user \0{\"NotFound\":7}"));
    assert_eq!(forged.encoding(), None);
    let long = RemoteError::new("long").with_encoding("x".repeat(RemoteError::MAX_ENCODING_LEN + 1));
    assert_eq!(heard(long), RemoteError::new("long"));

    let sent = ["failed no user\0", &"x".repeat(RemoteError::MAX_ENCODING_LEN + 1)].concat();
    let Some(Notice::Released(Release::Failed(error))) = parse(&sent.into()) else {
        panic!("no failure");
    };
    assert_eq!(error, RemoteError::new("no user"));
}

#[test]
fn what_cannot_be_shared_inline_is_released() {
    assert_eq!(release(&shared(LIMIT + 1), LIMIT), RELEASED);
    assert_eq!(release(&Release::Shared(Value::unreadable()), LIMIT), RELEASED);
}

#[test]
fn words_without_a_release_have_their_notices() {
    assert!(matches!(parse(&STORED.into()), Some(Notice::Announced)));
    for value in ["", "v", "value ", "stored"] {
        let Some(Notice::Stored(heard)) = parse(&format!("value {value}").into()) else {
            panic!("not a value");
        };
        assert_eq!(heard.bytes().unwrap(), value);
    }
    assert!(matches!(parse(&INVALIDATED.into()), Some(Notice::Invalidated)));
}

#[test]
fn a_number_of_starts_survives_the_wire() {
    for (said, expected) in [(0, 1), (1, 1), (999, 999), (u32::MAX, 999)] {
        let notice = parse(&deferred(said).into());
        assert!(
            matches!(notice, Some(Notice::Deferred { starts }) if starts == expected),
            "{notice:?}"
        );
    }
}

#[test]
fn the_token_of_what_is_kept_survives_the_wire() {
    let token = Token::random();
    let notice = parse(&kept(token).into());
    assert!(
        matches!(notice, Some(Notice::Kept(heard)) if heard == token),
        "{notice:?}"
    );
}

#[test]
fn every_notice_has_one_form_and_comes_back_as_it_was() {
    let value = Value::encoded("value stored");
    let notices = [
        (Notice::Stored(value.clone()), "value value stored"),
        (Notice::Announced, "stored"),
        (Notice::Invalidated, "invalidated"),
        (Notice::Deferred { starts: 7 }, "deferred 7"),
        (Notice::Released(Release::Abandoned), "released"),
        (Notice::Released(Release::Broken { failures: 2 }), "broken 2"),
        (Notice::Released(Release::Declined { attempts: 999 }), "declined 999"),
        (Notice::Released(Release::Stale), "stale"),
        (Notice::Released(Release::Pass), "pass"),
        (Notice::Released(Release::Shared(value)), "shared value stored"),
        (Notice::Released(Release::Failed(RemoteError::new(""))), "failed "),
        (
            Notice::Released(Release::Failed(RemoteError::new("a\nb").with_encoding("{}"))),
            "failed a\nb\0{}",
        ),
    ];
    for (notice, payload) in notices {
        assert_eq!(notice.to_payload().unwrap(), payload);
        let heard = Notice::from_payload(&payload.into()).unwrap();
        assert_eq!(heard.to_payload().unwrap(), payload, "{heard:?}");
    }
    let token = Token::random();
    let payload = Notice::Kept(token).to_payload().unwrap();
    assert_eq!(payload, format!("kept {token}"));
    assert!(matches!(Notice::from_payload(&payload), Some(Notice::Kept(heard)) if heard == token));

    assert!(Notice::Reread.to_payload().is_none());
    assert!(Notice::Stored(Value::unreadable()).to_payload().is_none());
    let unreadable = Release::Shared(Value::unreadable());
    assert!(Notice::Released(unreadable).to_payload().is_none());
}

#[test]
fn a_value_keeps_its_stamp_in_a_notice() {
    let stamp = Stamp::new(
        Generation {
            incarnation: 1,
            number: 2,
        },
        Vec::new(),
    );
    let value = Value::encoded("v").stamped(stamp.clone());
    for notice in [Notice::Stored(value.clone()), Notice::Released(Release::Shared(value))] {
        let heard = Notice::from_payload(&notice.to_payload().unwrap());
        let (Some(Notice::Stored(heard)) | Some(Notice::Released(Release::Shared(heard)))) = heard else {
            panic!("{heard:?}");
        };
        assert_eq!(heard.stamp(), Some(&stamp));
    }
}

#[test]
fn anything_else_is_no_notice() {
    let hostile: &[&[u8]] = &[
        b"",
        b" ",
        b"stored ",
        b"kept",
        b"kept ",
        b"kept 0123456789abcdef0123456789abcde",
        b"kept 0123456789ABCDEF0123456789abcdef",
        b"kept +123456789abcdef0123456789abcdef",
        b"kept 0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcdef",
        b"value",
        b"Value x",
        b"STORED",
        b"storedx",
        b"pass 1",
        b"released\n",
        b"failed",
        b"failed \xff\xfe",
        b"shared",
        b"failedtext",
        b"broken",
        b"broken ",
        b"broken 0",
        b"broken 01",
        b"broken 1000",
        b"broken +1",
        b"broken 1 ",
        b"deferred",
        b"deferred 0",
        b"declined",
        b"declined 0",
        b"deferred x",
        b"stale ",
        b"\0\0\0\0",
        b"invalidated\0",
    ];
    for payload in hostile {
        let notice = parse(&Bytes::from_static(payload));
        assert!(notice.is_none(), "{payload:?} gave {notice:?}");
    }
}

#[test]
fn a_long_error_text_is_cut() {
    let notice = parse(&[FAILED, "ä".repeat(5000).as_bytes()].concat().into());
    let Some(Notice::Released(Release::Failed(error))) = notice else {
        panic!("{notice:?}");
    };
    assert!(error.message().len() <= RemoteError::MAX_LEN);
}
