//! HTTP/1 by the byte: [`RawOrigin`], and [`raw_exchange`] for a client.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::exchange;

/// An upstream that answers each request with the same bytes and the end of the connection.
pub(crate) struct RawOrigin {
    url: String,
    _server: JoinSet<()>,
}

impl RawOrigin {
    pub(crate) async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its number"));
        let answer = Arc::new(answer.into());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_once(stream, Arc::clone(&answer)));
            }
        });
        Self { url, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

async fn answer_once(mut stream: TcpStream, answer: Arc<Vec<u8>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    // The proxy closes when it has read all.
    let _ = stream.read_to_end(&mut head).await;
}

/// Head, in lower case, and body of what comes back for a request over a connection of its own.
pub(crate) async fn raw_exchange(authority: &str, request: &str) -> (String, Vec<u8>) {
    let response = exchange(authority, request).await;
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", response.escape_ascii().to_string()));
    let head = String::from_utf8_lossy(&response[..end + 2]).to_ascii_lowercase();
    (head, response[end + 4..].to_vec())
}
