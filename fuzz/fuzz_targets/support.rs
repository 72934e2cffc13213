//! What several targets need.

#![allow(dead_code, reason = "no target needs all of it")]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_memolock::{Address, Key, Tag};

/// Where the stored responses of the corpus stand.
pub static ADDRESS: LazyLock<Address> = LazyLock::new(|| {
    let key = Key::new("{GET /a}").expect("the id is a key");
    Address::new(&Tag::new("fuzz").expect("the tag is valid"), &key)
});

/// The same entry with the length and the checksum it should have.
pub fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut entry = data.to_vec();
    let len = u32::try_from(entry.len()).ok()?;
    entry.get_mut(8..12)?.copy_from_slice(&len.to_be_bytes());
    let checksum = crc32fast::hash(&entry[8..]);
    entry[4..8].copy_from_slice(&checksum.to_be_bytes());
    Some(entry)
}

/// Lines `name: value` as header fields, as far as they are some.
pub fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            // Only a map that is full refuses.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

/// The parts of `data` between the lines `--`: always `N`, the last ones empty.
pub fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = Some(data);
    std::array::from_fn(|index| {
        let Some(data) = rest else { return &[][..] };
        let end = data.windows(4).position(|window| window == b"\n--\n");
        match end.filter(|_| index + 1 < N) {
            Some(end) => {
                rest = Some(&data[end + 4..]);
                &data[..end]
            }
            None => {
                rest = None;
                data
            }
        }
    })
}
