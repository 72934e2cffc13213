//! Whatever is published on a control channel is one word or none, and a word means the same once it is sent on.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tower_memolock::RemoteError;
use tower_memolock::store::{Notice, Release};

fuzz_target!(|data: &[u8]| {
    let payload = Bytes::copy_from_slice(data);
    let notice = Notice::from_payload(&payload);
    let again = notice.as_ref().and_then(Notice::to_payload);
    match notice {
        Some(Notice::Released(reason)) => {
            let cut = matches!(&reason, Release::Failed(error) if error.message().len() + 7 < data.len());
            let behind_cut = cut && matches!(&reason, Release::Failed(error) if error.encoding().is_some());
            // A value that cannot be read is not passed on.
            let torn = matches!(&reason, Release::Shared(value) if value.bytes().is_err());
            assert_eq!(torn, again.is_none(), "{reason:?}");
            let same = again.is_none_or(|again| again == data || cut && data.starts_with(&again) || behind_cut);
            assert!(same, "{reason:?}");
            if let Release::Failed(error) = &reason {
                assert!(error.message().len() <= RemoteError::MAX_LEN);
                assert!(error.encoding().is_none_or(|encoding| encoding.len() <= RemoteError::MAX_ENCODING_LEN));
            }
        }
        Some(Notice::Stored(value)) => {
            assert!(data.starts_with(b"value "));
            assert_eq!(value.bytes().is_err(), again.is_none());
            assert!(again.is_none_or(|again| again == data));
        }
        Some(Notice::Reread) => panic!("nothing to say on a control channel"),
        Some(_) => assert_eq!(again.expect("it has a form"), data),
        None => {}
    }
});
