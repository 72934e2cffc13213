//! Which request fields say who is asking, by what the names of such fields have in common.
//!
//! There is no registry of them, and every gateway makes up its own. What is taken for one by mistake costs sharing; what
//! is not recognised puts one client's response into another's hands. So the words count that such names are made of,
//! wherever they stand. [`MemoLockLayer::credentials`](crate::MemoLockLayer::credentials) tells them to users.

/// Words that a word of the name is, in lower case.
const WHOLE: [&str; 24] = [
    "behalf", "cert", "certs", "dn", "dpop", "group", "groups", "jwe", "jws", "msisdn", "mtls", "otp", "pin", "role",
    "roles", "sid", "sig", "sso", "sudo", "ticket", "totp", "uid", "sub", "upn",
];

/// What a word of the name begins with.
const BEGINNINGS: [&str; 38] = [
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
    "webauth",
    "xsrf",
];

/// What a word of the name ends in.
const ENDINGS: [&str; 16] = [
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
];

/// What a key is of that finds something; every other one opens something.
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

/// What of a client tells which one it is.
const OF_CLIENTS: [&str; 7] = ["cn", "id", "issuer", "serial", "subject", "verified", "verify"];

/// Whether a field with this name, in lower case, tells who is asking, or proves it.
pub(crate) fn is_credential(name: &str) -> bool {
    if is_common(name) {
        return false;
    }
    let mut words = name.split(['-', '_', '.']).filter(|word| !word.is_empty()).peekable();
    let mut before = "";
    while let Some(word) = words.next() {
        let after = words.peek().copied().unwrap_or_default();
        if tells_who(word, before, after) {
            return true;
        }
        before = word;
    }
    false
}

/// Fields that browsers and proxies send all the time: they are not to cost the path of a hit anything.
fn is_common(name: &str) -> bool {
    match name.as_bytes() {
        [b'a', b'c', b'c', b'e', b'p', b't', rest @ ..] => matches!(rest, [] | [b'-', ..]),
        [b'c', ..] => matches!(name, "cache-control" | "connection") || name.starts_with("content-"),
        [b'h', ..] => name == "host",
        [b'o', ..] => name == "origin",
        [b'p', ..] => matches!(name, "pragma" | "priority"),
        [b'r', ..] => matches!(name, "range" | "referer"),
        [b's', b'e', b'c', b'-', rest @ ..] => matches!(rest, [b'c' | b'f' | b'g' | b'w', ..]),
        [b't', ..] => matches!(name, "te" | "traceparent" | "tracestate"),
        [b'u', ..] => matches!(name, "user-agent" | "upgrade-insecure-requests"),
        [b'v', ..] => name == "via",
        [b'x', b'-', b'f', ..] => matches!(name, "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto"),
        [b'x', b'-', b'r', ..] => matches!(name, "x-real-ip" | "x-request-id" | "x-requested-with"),
        _ => false,
    }
}

fn tells_who(word: &str, before: &str, after: &str) -> bool {
    let first = word.as_bytes().first();
    let begins = |known: &&str| known.as_bytes().first() == first && word.starts_with(known);
    match word {
        "useragent" => false,
        "user" => !matches!(after, "agent" | "ip"),
        "client" => OF_CLIENTS.contains(&after) || matches!(before, "ssl" | "tls"),
        _ => {
            BEGINNINGS.iter().any(|known| begins(known))
                || WHOLE.iter().any(|known| begins(known) && known.len() == word.len())
                || word.starts_with("user")
                || is_auth(word)
                || is_key(word, before)
                || ENDINGS.iter().any(|known| word.ends_with(known))
        }
    }
}

/// `auth`, `authorization`, `authenticated`, `authn`; neither `author` nor `authority`.
fn is_auth(word: &str) -> bool {
    let rest = word.strip_prefix("auth");
    rest.is_some_and(|rest| !rest.starts_with("or") || rest.starts_with("oriz") || rest.starts_with("oris"))
}

fn is_key(word: &str, before: &str) -> bool {
    let Some(of) = word.strip_suffix("key").or_else(|| word.strip_suffix("keys")) else {
        return false;
    };
    !FINDING_KEYS.contains(if of.is_empty() { &before } else { &of })
}

#[cfg(test)]
mod tests;
