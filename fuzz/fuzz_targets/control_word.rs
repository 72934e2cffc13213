//! Whatever is published on a control channel is one word or none, and a word means the same once it is sent on.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tower_memolock::RemoteError;
use tower_memolock::store::{Notice, Release, fuzzing};

fuzz_target!(|data: &[u8]| {
    let payload = Bytes::copy_from_slice(data);
    match fuzzing::parse_control(&payload) {
        Some(Notice::Released(reason)) => {
            let cut = matches!(&reason, Release::Failed(error) if error.message().len() + 7 < data.len());
            let behind_cut = cut && matches!(&reason, Release::Failed(error) if error.encoding().is_some());
            let again = fuzzing::control(&reason);
            // A value that cannot be read is not passed on.
            let torn = matches!(&reason, Release::Shared(value) if value.bytes().is_err()) && again == b"released";
            assert!(again == data || cut && data.starts_with(&again) || behind_cut || torn, "{reason:?}");
            if let Release::Failed(error) = &reason {
                assert!(error.message().len() <= RemoteError::MAX_LEN);
                assert!(error.encoding().is_none_or(|encoding| encoding.len() <= RemoteError::MAX_ENCODING_LEN));
            }
        }
        Some(Notice::Announced) => assert_eq!(data, b"stored"),
        Some(Notice::Stored(value)) => {
            assert!(data.starts_with(b"value "));
            if let Ok(bytes) = value.bytes() {
                assert_eq!(bytes, data[b"value ".len()..]);
            }
        }
        Some(Notice::Kept(token)) => assert_eq!(data, fuzzing::kept(token)),
        Some(Notice::Invalidated) => assert_eq!(data, b"invalidated"),
        Some(Notice::Deferred { starts }) => assert_eq!(data, fuzzing::deferred(starts)),
        Some(other) => panic!("{other:?} is nothing to say on a control channel"),
        None => {}
    }
});
