//! Commands and answers as bytes.

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Okay,
    Text(&'static str),
    Error(&'static str),
    Number(i64),
    Bytes(Vec<u8>),
    Nothing,
    Several(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// Not an answer but news, in RESP3.
    Push(Vec<Self>),
}

impl Answer {
    pub(crate) fn bytes(text: impl AsRef<[u8]>) -> Self {
        Self::Bytes(text.as_ref().to_vec())
    }

    /// Writes it down as RESP3 has it, or RESP2.
    pub(crate) fn write(&self, resp3: bool, to: &mut Vec<u8>) {
        let line = |to: &mut Vec<u8>, text: &str| to.extend([text.as_bytes(), b"\r\n"].concat());
        match self {
            Self::Okay => line(to, "+OK"),
            Self::Text(text) => line(to, &format!("+{text}")),
            Self::Error(text) => line(to, &format!("-{text}")),
            Self::Number(number) => line(to, &format!(":{number}")),
            Self::Bytes(bytes) => {
                line(to, &format!("${}", bytes.len()));
                to.extend([bytes, &b"\r\n"[..]].concat());
            }
            Self::Nothing => line(to, if resp3 { "_" } else { "$-1" }),
            Self::Map(fields) => {
                let (kind, each) = if resp3 { ('%', 1) } else { ('*', 2) };
                line(to, &format!("{kind}{}", each * fields.len()));
                for (name, value) in fields {
                    name.write(resp3, to);
                    value.write(resp3, to);
                }
            }
            Self::Several(parts) | Self::Push(parts) => {
                let kind = if matches!(self, Self::Push(_)) { '>' } else { '*' };
                line(to, &format!("{kind}{}", parts.len()));
                parts.iter().for_each(|part| part.write(resp3, to));
            }
        }
    }
}

/// Takes the first command off, if all of it is there.
pub(crate) fn take_command(bytes: &mut Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let mut at = 0;
    let mut words = Vec::new();
    let count = number(bytes, &mut at, b'*')?;
    for _ in 0..count {
        let len = number(bytes, &mut at, b'$')?;
        words.push(bytes.get(at..at + len)?.to_vec());
        at += len + 2;
    }
    if at > bytes.len() {
        return None;
    }
    bytes.drain(..at);
    Some(words)
}

fn number(bytes: &[u8], at: &mut usize, kind: u8) -> Option<usize> {
    let rest = bytes.get(*at..)?;
    let end = rest.windows(2).position(|window| window == b"\r\n")?;
    assert_eq!(rest[0], kind, "a command begins where it should");
    *at += end + 2;
    Some(std::str::from_utf8(&rest[1..end]).ok()?.parse().expect("a length"))
}
