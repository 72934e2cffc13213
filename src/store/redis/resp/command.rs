//! What is sent: [`Command`] and [`Pipeline`].

/// One command.
#[derive(Clone)]
pub(crate) struct Command {
    count: usize,
    /// Name and arguments, each as it is sent.
    args: Vec<u8>,
}

impl Command {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_capacity(name, 0)
    }

    /// The same, with room for so many bytes.
    pub(crate) fn with_capacity(name: &str, bytes: usize) -> Self {
        let mut command = Self {
            count: 0,
            args: Vec::with_capacity(bytes + name.len() + 16),
        };
        command.arg(name);
        command
    }

    /// `GET` of this name.
    pub(crate) fn get(name: &str) -> Self {
        let mut get = Self::with_capacity("GET", name.len());
        get.arg(name);
        get
    }

    /// Writes [`get`](Self::get) of this name as it is sent, without making a command of it.
    pub(crate) fn write_get(bytes: &mut Vec<u8>, name: &str) {
        bytes.reserve(name.len() + 48);
        bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
        write_count(bytes, b'$', name.len());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }

    /// Adds an argument.
    pub(crate) fn arg(&mut self, arg: impl AsRef<[u8]>) -> &mut Self {
        self.add(arg.as_ref());
        self
    }

    /// Adds an argument that is a number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.add(number.to_string().as_bytes());
        self
    }

    fn add(&mut self, arg: &[u8]) {
        self.count += 1;
        write_count(&mut self.args, b'$', arg.len());
        self.args.extend_from_slice(arg);
        self.args.extend_from_slice(b"\r\n");
    }

    /// Name and arguments.
    pub(crate) fn args(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.args[..];
        std::iter::from_fn(move || {
            let at = rest.iter().position(|byte| *byte == b'\n')? + 1;
            let len: usize = std::str::from_utf8(&rest[1..at - 2]).ok()?.parse().ok()?;
            let (arg, others) = rest[at..].split_at(len);
            rest = &others[2..];
            Some(arg)
        })
    }

    /// Writes it as it is sent.
    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>) {
        write_count(bytes, b'*', self.count);
        bytes.extend_from_slice(&self.args);
    }

    /// All that is sent.
    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.args.len() + 8);
        self.write_to(&mut packed);
        packed
    }
}

/// Several commands that are sent at once.
#[derive(Default)]
pub(crate) struct Pipeline(Vec<Command>);

impl Pipeline {
    pub(crate) fn with_capacity(commands: usize) -> Self {
        Self(Vec::with_capacity(commands))
    }

    /// Adds a command, for its arguments to be added.
    pub(crate) fn command(&mut self, name: &str) -> &mut Command {
        let at = self.0.len();
        self.0.push(Command::new(name));
        &mut self.0[at]
    }

    pub(crate) fn add(&mut self, command: Command) {
        self.0.push(command);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Command> {
        self.0.iter()
    }

    /// All that is sent.
    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.iter().map(|command| command.args.len() + 8).sum());
        self.iter().for_each(|command| command.write_to(&mut packed));
        packed
    }
}

/// Writes what stands in front of a string, or of several.
fn write_count(bytes: &mut Vec<u8>, kind: u8, count: usize) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, count);
    while at == digits.len() || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes.push(kind);
    bytes.extend_from_slice(&digits[at..]);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_sent_as_any_client_sends_it() {
        let mut own = Command::new("SET");
        own.arg("key").arg(b"\r\n$3\r\n").arg("").arg("PX").number(10_000);
        let mut theirs = redis::cmd("SET");
        theirs.arg("key").arg(b"\r\n$3\r\n").arg("").arg("PX").arg(10_000);
        assert_eq!(own.packed(), theirs.get_packed_command());
        let args: Vec<_> = own.args().collect();
        let expected: [&[u8]; 5] = [b"SET", b"key", b"\r\n$3\r\n", b"", b"PX"];
        assert_eq!(args[..5], expected);
        assert_eq!(args[5..], [b"10000"]);
    }

    #[test]
    fn a_get_is_written_like_any_other_command() {
        for name in [String::new(), "a".to_owned(), "\u{e4}\r\n".to_owned(), "x".repeat(1234)] {
            let mut bytes = b"before".to_vec();
            Command::write_get(&mut bytes, &name);
            assert_eq!(bytes[6..], Command::get(&name).packed());
        }
    }

    #[test]
    fn several_commands_are_sent_one_behind_the_other() {
        let mut pipeline = Pipeline::default();
        pipeline.command("GET").arg("a");
        pipeline.add(Command::get("b"));
        pipeline.command("TIME");
        assert_eq!(pipeline.len(), 3);
        let expected = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n*1\r\n$4\r\nTIME\r\n";
        assert_eq!(pipeline.packed(), expected.as_bytes());
    }
}
