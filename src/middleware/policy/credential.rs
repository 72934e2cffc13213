//! Which request fields identify a client, by what the names of such fields have in common.
//!
//! There is no registry of such fields, and every gateway makes up its own. A field that is taken for a credential by
//! mistake costs sharing; a credential that is not recognised puts one client's response into another's hands. So the
//! words that such names are made of count wherever they stand.
//! [`Privacy::credentials`](crate::middleware::Privacy::credentials) lists them for users.

/// Words that a word of the name is, in lower case.
static WHOLE: Words<24> = Words::whole([
    "behalf", "cert", "certs", "dn", "dpop", "group", "groups", "jwe", "jws", "msisdn", "mtls", "otp", "pin", "role",
    "roles", "sid", "sig", "sso", "sub", "sudo", "ticket", "totp", "uid", "upn",
]);

/// What a word of the name begins with.
static BEGINNINGS: Words<39> = Words::beginnings([
    "accesskey",
    "account",
    "assertion",
    "basicauth",
    "bearer",
    "certificate",
    "claim",
    "clientcert",
    "clientid",
    "consumer",
    "cookie",
    "credential",
    "csrf",
    "customer",
    "email",
    "employee",
    "entitlement",
    "hmac",
    "identit",
    "impersonat",
    "login",
    "macaroon",
    "member",
    "oauth",
    "oidc",
    "openid",
    "passcode",
    "passphrase",
    "passw",
    "permission",
    "principal",
    "saml",
    "secret",
    "sess",
    "subscriber",
    "token",
    "user",
    "webauth",
    "xsrf",
]);

/// What a word of the name ends in.
static ENDINGS: Words<16> = Words::endings([
    "auth",
    "authorization",
    "cert",
    "cookie",
    "credentials",
    "email",
    "jwt",
    "login",
    "secret",
    "sessid",
    "session",
    "sessionid",
    "signature",
    "token",
    "user",
    "username",
]);

/// The words in front of `key` for a key that finds something. Every other key opens something.
const FINDING_KEYS: [&str; 17] = [
    "cache",
    "correlation",
    "dedup",
    "deduplication",
    "group",
    "idempotence",
    "idempotency",
    "message",
    "object",
    "partition",
    "public",
    "request",
    "routing",
    "shard",
    "sort",
    "surrogate",
    "websocket",
];

/// The words behind `client` that tell which client it is.
const OF_CLIENTS: [&str; 7] = ["cn", "id", "issuer", "serial", "subject", "verified", "verify"];

/// Whether a field with this name, in lower case, identifies the client, or proves its identity.
pub(crate) fn is_credential(name: &str) -> bool {
    if is_common(name) {
        return false;
    }
    let mut words = name.as_bytes().split(|letter| matches!(letter, b'-' | b'_' | b'.'));
    let (mut before, mut word) = (&b""[..], words.next().unwrap_or_default());
    loop {
        let after = words.next();
        if tells_who(word, before, after.unwrap_or_default()) {
            return true;
        }
        let Some(after) = after else { return false };
        (before, word) = (word, after);
    }
}

/// Fields that browsers and proxies send all the time. A hit is to spend nothing on them.
fn is_common(name: &str) -> bool {
    match name.as_bytes() {
        [b'a', b'c', b'c', b'e', b'p', b't', rest @ ..] => matches!(rest, [] | [b'-', ..]),
        [b'b', ..] => matches!(name, "b3" | "baggage"),
        [b'c', b'f', b'-', ..] => matches!(name, "cf-connecting-ip" | "cf-ipcountry" | "cf-ray" | "cf-visitor"),
        [b'c', ..] => matches!(name, "cache-control" | "cdn-loop" | "connection") || name.starts_with("content-"),
        [b'g', b'r', b'p', b'c', b'-', ..] => matches!(name, "grpc-accept-encoding" | "grpc-encoding" | "grpc-timeout"),
        [b'h', ..] => name == "host",
        [b'o', ..] => name == "origin",
        [b'p', ..] => matches!(name, "pragma" | "priority"),
        [b'r', ..] => matches!(name, "range" | "referer"),
        [b's', b'e', b'c', b'-', rest @ ..] => matches!(rest, [b'c' | b'f' | b'g' | b'w', ..]),
        [b't', ..] => matches!(name, "te" | "traceparent" | "tracestate" | "true-client-ip"),
        [b'u', ..] => matches!(name, "user-agent" | "upgrade-insecure-requests"),
        [b'v', ..] => name == "via",
        [b'x', b'-', b'a' | b'b' | b'c', ..] => {
            matches!(
                name,
                "x-amzn-trace-id" | "x-b3-sampled" | "x-b3-spanid" | "x-b3-traceid" | "x-correlation-id"
            )
        }
        [b'x', b'-', b'f', ..] => matches!(name, "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto"),
        [b'x', b'-', b'r', ..] => matches!(name, "x-real-ip" | "x-request-id" | "x-requested-with"),
        _ => false,
    }
}

fn tells_who(word: &[u8], before: &[u8], after: &[u8]) -> bool {
    match word {
        [] | [_] | b"useragent" => false,
        b"user" => !matches!(after, b"agent" | b"ip"),
        b"client" => OF_CLIENTS.iter().any(|known| known.as_bytes() == after) || matches!(before, b"ssl" | b"tls"),
        [b'a', b'u', b't', b'h', rest @ ..] => is_auth(rest),
        [first, .., last] => {
            let (start, end) = (first_letters(word), last_letters(word));
            BEGINNINGS.have(*first, start)
                || ENDINGS.have(*last, end)
                || word.len() <= 8 && WHOLE.have(*first, start)
                || matches!(last, b'y' | b's') && is_key(word, before)
        }
    }
}

/// `auth`, `authorization`, `authenticated`, `authn`; neither `author` nor `authority`.
fn is_auth(rest: &[u8]) -> bool {
    !rest.starts_with(b"or") || rest.starts_with(b"oriz") || rest.starts_with(b"oris")
}

fn is_key(word: &[u8], before: &[u8]) -> bool {
    let Some(of) = word.strip_suffix(b"key").or_else(|| word.strip_suffix(b"keys")) else {
        return false;
    };
    let of = if of.is_empty() { before } else { of };
    !FINDING_KEYS.iter().any(|known| known.as_bytes() == of)
}

/// Words that are found by one letter, and of which eight letters are compared at once, because a request may have many
/// fields that are none of the common ones.
struct Words<const N: usize> {
    /// Sorted by that letter: eight letters, and which bits of them count.
    words: [(u64, u64); N],
    /// Where those with each letter begin.
    starts: [usize; 27],
}

impl<const N: usize> Words<N> {
    const fn whole(words: [&str; N]) -> Self {
        Self::new(words, true, true)
    }

    const fn beginnings(words: [&str; N]) -> Self {
        Self::new(words, true, false)
    }

    const fn endings(words: [&str; N]) -> Self {
        Self::new(words, false, false)
    }

    const fn new(list: [&str; N], by_first: bool, whole: bool) -> Self {
        let (mut words, mut starts) = ([(0, 0); N], [0; 27]);
        let (mut at, mut letter) = (0, 0);
        while letter < 26 {
            starts[letter] = at;
            let mut next = 0;
            while next < N {
                let word = list[next].as_bytes();
                let of_word = if by_first { word[0] } else { word[word.len() - 1] };
                if of_word == b'a' + letter as u8 {
                    words[at] = masked(word, by_first, whole);
                    at += 1;
                }
                next += 1;
            }
            letter += 1;
        }
        starts[26] = at;
        Self { words, starts }
    }

    fn have(&self, letter: u8, letters: u64) -> bool {
        let at = usize::from(letter.wrapping_sub(b'a'));
        if at >= 26 {
            return false;
        }
        let mut words = self.words[self.starts[at]..self.starts[at + 1]].iter();
        words.any(|(known, mask)| letters & mask == *known)
    }
}

/// The letters of a word that are compared, and their bits: the low ones of the first, and the high ones of the last.
const fn masked(word: &[u8], first: bool, whole: bool) -> (u64, u64) {
    let bits = if whole || word.len() >= 8 {
        64
    } else {
        8 * word.len() as u32
    };
    match first {
        true => (first_letters(word), u64::MAX >> (64 - bits)),
        false => (last_letters(word), u64::MAX << (64 - bits)),
    }
}

/// The first eight letters, with zeros behind them where there are fewer.
const fn first_letters(word: &[u8]) -> u64 {
    if let Some(letters) = word.first_chunk() {
        return u64::from_le_bytes(*letters);
    }
    match (word.first_chunk(), word.last_chunk()) {
        (Some(first), Some(last)) => {
            let [first, last] = [u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64];
            first | last << (8 * (word.len() as u32 - 4))
        }
        _ => match word {
            [] => 0,
            [one] => *one as u64,
            [one, two] => *one as u64 | (*two as u64) << 8,
            [one, two, .., last] => *one as u64 | (*two as u64) << 8 | (*last as u64) << 16,
        },
    }
}

/// The last eight letters, with zeros in front of them where there are fewer.
const fn last_letters(word: &[u8]) -> u64 {
    match word.last_chunk() {
        Some(letters) => u64::from_le_bytes(*letters),
        None if word.is_empty() => 0,
        None => first_letters(word) << (8 * (8 - word.len() as u32)),
    }
}

#[cfg(test)]
mod tests;
