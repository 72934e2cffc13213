//! `watch`: what is announced.

use std::time::{Duration, SystemTime};

use support::{causes, eprintln, println};
use tower::BoxError;

use super::notice;
use super::server::Server;
use super::text::{NAME, plain, time_of_day};

/// How long until a lost connection is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints a line for each message until the program is asked to stop.
pub(crate) async fn watch(server: &Server) -> Result<(), BoxError> {
    let mut listening = server.listen().await?;
    eprintln!(
        "watching {} in database {}; Ctrl-C ends it",
        server.tag.as_str(),
        server.database
    );
    if server.is_one_of_several() {
        eprintln!(
            "in a cluster, one server says only what is published plainly: nothing of ids derived from several parts"
        );
    }
    loop {
        while let Some((channel, payload)) = listening.next().await {
            tell(server, &channel, &payload);
            let missed = listening.missed();
            if missed > 0 {
                eprintln!("{missed} messages came too fast, and were missed");
            }
        }
        eprintln!("the connection to Redis was lost: what is announced meanwhile is missed");
        listening = loop {
            tokio::time::sleep(PAUSE).await;
            match server.listen().await {
                Ok(listening) => break listening,
                Err(error) => eprintln!("no connection to Redis: {}", causes(&error)),
            }
        };
        eprintln!("connected again");
    }
}

fn tell(server: &Server, channel: &[u8], payload: &[u8]) {
    let Some(at) = channel.iter().position(|byte| *byte == b':') else {
        return;
    };
    let (name, id) = (&channel[..at], &channel[at + 1..]);
    let said = match name.ends_with(b"/notif") {
        true => Some(notice::promise(&server.tag, id, payload)),
        false => notice::control(&server.tag, id, payload),
    };
    let Some(said) = said else {
        return;
    };
    let time = time_of_day(SystemTime::now());
    println!("{time}  {}\n    {said}", plain(id, NAME));
}
