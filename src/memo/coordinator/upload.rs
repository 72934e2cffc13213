//! [`Upload`]: how the beginning of a value comes to followers in other processes, before there is the whole.
//!
//! An [`Uploader`], which is a task of its own, reads the value as any follower does. The verdict waits for the
//! uploader: the uploaded beginning and the rest together become the value. Where the result is not to be shared, as
//! with a body that has no end, the task goes on without the lock for its present readers.

use tokio::sync::oneshot;

use super::Coordinator;
use super::acquire::LockState;
use super::uploader::{Concluded, Uploader};
use crate::codec::Codec;
use crate::memo::marking::Marking;
use crate::memo::outcome::Preview;
use crate::store::PartId;
use crate::store::parts::Tail;
use crate::task::spawn;

/// The coordinator's end of an upload.
pub(super) struct Upload {
    concluded: oneshot::Sender<Concluded>,
    tail: oneshot::Receiver<Tail>,
}

impl Upload {
    /// The value is whole. Returns the rest that is not uploaded yet, if anything was uploaded.
    pub(super) async fn whole(self) -> Option<Tail> {
        self.concluded.send(Concluded::Whole).ok()?;
        self.tail.await.ok()
    }

    /// The lock is about to be given back, and the upload goes on without it. Returns once the lock may be given back.
    pub(super) async fn apart(self) {
        if self.concluded.send(Concluded::Apart).is_ok() {
            let _ = self.tail.await;
        }
    }
}

/// Uploads what the preview shows, once another process asks for it.
pub(super) fn start<C: Codec>(coordinator: &Coordinator<C>, claim: LockState, preview: &mut Preview<C::Value>) {
    let Some(outgoing) = preview.outgoing.take().filter(|_| claim.is_held()) else {
        return;
    };
    let marking = Marking::new(preview.start, preview.labels.clone(), coordinator.shared.stamps_all());
    let stamp = match marking {
        Marking::Plain => None,
        Marking::Stamped(stamp, _) => Some(stamp),
        Marking::Unknown => return,
    };
    let Some(asked) = coordinator.bid().part_requests() else {
        return;
    };
    let id = PartId::new(coordinator.token());
    let Some(growing) = outgoing.begin(id) else { return };
    let (concluded, conclusion) = oneshot::channel();
    let (tail_tx, tail) = oneshot::channel();
    let uploader = Uploader::new(coordinator, growing, id, stamp);
    spawn(Box::pin(uploader.run(asked, conclusion, tail_tx)));
    *coordinator.uploading() = Some(Upload { concluded, tail });
}

/// The rest of a whole value that is not uploaded yet.
pub(super) async fn tail<C: Codec>(coordinator: &Coordinator<C>) -> Option<Tail> {
    let upload = coordinator.uploading().take()?;
    Box::pin(upload.whole()).await
}

/// Has the upload go on without the lock.
pub(super) async fn go_on_apart<C: Codec>(coordinator: &Coordinator<C>) {
    let upload = coordinator.uploading().take();
    if let Some(upload) = upload {
        Box::pin(upload.apart()).await;
    }
}
