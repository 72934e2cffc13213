//! [`ResponseDigest`]: whether two responses are the same to a client.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use sha2::{Digest, Sha256};

/// The fields that make two responses different, besides status, content and trailers. All other fields tell of one
/// exchange: a date, an age, an identifier.
static FIELDS: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, LOCATION];

pub(super) struct ResponseDigest {
    hash: Sha256,
    len: u64,
}

impl ResponseDigest {
    pub(super) fn of_head(status: StatusCode, headers: &HeaderMap) -> Self {
        let mut hash = Sha256::new();
        hash.update(status.as_u16().to_be_bytes());
        for name in &FIELDS {
            for line in headers.get_all(name) {
                update(&mut hash, name.as_str().as_bytes());
                update(&mut hash, line.as_bytes());
            }
        }
        Self { hash, len: 0 }
    }

    pub(super) fn add(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.add_content(data);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.add_trailers(trailers);
        }
    }

    pub(super) fn add_content(&mut self, data: &[u8]) {
        self.len += data.len() as u64;
        self.hash.update(data);
    }

    pub(super) fn add_trailers(&mut self, trailers: &HeaderMap) {
        for (name, value) in trailers {
            update(&mut self.hash, name.as_str().as_bytes());
            update(&mut self.hash, value.as_bytes());
        }
    }

    /// How much content there was so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn finish(self) -> [u8; 16] {
        let whole: [u8; 32] = self.hash.finalize().into();
        let mut digest = [0; 16];
        digest.copy_from_slice(&whole[..16]);
        digest
    }
}

/// Hashes `bytes` behind their length, so that no two sequences of them are hashed as the same bytes.
fn update(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}
