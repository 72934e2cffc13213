//! Tags, ids and parts from outside make keys that are bounded, injective, and can be taken apart again.
//!
//! The input is a tag, an id, and two texts whose lines are parts, with a line `--` between them.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use support::parts;
use tower_memolock::{Address, Key, MAX_ID_LEN, Tag};

fuzz_target!(|data: &[u8]| {
    let [tag, id, one, two] = parts(data);
    if let (Ok(tag), Ok(id)) = (std::str::from_utf8(tag), std::str::from_utf8(id))
        && let (Ok(tag), Ok(key)) = (Tag::new(tag), Key::new(id))
    {
        let address = Address::new(&tag, &key);
        assert_eq!((address.tag(), address.id()), (tag.as_str(), id));
    }
    let (first, second) = (key(one), key(two));
    assert_eq!(first == second, one == two);
    for key in [first, second] {
        let text = key.as_str();
        assert!(
            text.len() <= MAX_ID_LEN && text.starts_with('{') && text.ends_with('}'),
            "{text}"
        );
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        assert_eq!(Key::new(text).expect("a derived key is a key").as_str(), text);
    }
});

fn key(lines: &[u8]) -> Key {
    let parts = lines.split(|byte| *byte == b'\n');
    parts.fold(Key::builder(), |key, part| key.part(part)).build()
}
