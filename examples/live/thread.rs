//! A node as a thread of this process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tower::BoxError;
use tower_memolock::MemoryStore;

use super::board::Board;
use super::fleet::Killed;
use super::node;

/// Runs node `number` until it is killed.
pub(crate) async fn run(
    number: usize,
    store: MemoryStore,
    board: &Arc<Board>,
    killed: &Killed,
) -> Result<(), BoxError> {
    let killed = killed.wait();
    let (kill, until_killed) = oneshot::channel();
    let (end, mut ended) = oneshot::channel();
    let telling = Arc::clone(board);
    std::thread::Builder::new()
        .name(format!("node {number}"))
        .spawn(move || {
            let _ = end.send(serve(number, store, &telling, until_killed));
        })?;
    tokio::select! {
        result = &mut ended => return Ok(result??),
        () = killed => {}
    }
    drop(kill);
    let _ = ended.await;
    Ok(())
}

/// The node with all its tasks, computations whose clients have left among them, ends with its runtime.
fn serve(number: usize, store: MemoryStore, board: &Arc<Board>, killed: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let telling = Arc::clone(board);
    let result = runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        board.is_up(number, listener.local_addr()?, None);
        tokio::select! {
            result = node::serve(listener, number, store, move |told| telling.told(number, told)) => result,
            _ = killed => Ok(()),
        }
    });
    runtime.shutdown_background();
    result
}
