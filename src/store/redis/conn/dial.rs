//! Opening connections.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::address::Endpoint;
use super::address::ServerUrl;
use super::connection::{Connection, within};
use super::denied::Denied;
use super::error::DialError;
use super::hello::Required;
use super::sentinel::Sentinels;
#[cfg(feature = "tls")]
use super::tls;
use super::traffic;
use crate::store::redis::resp::{Command, PushHandler, RedisError, Reply};
use crate::task::BoxFuture;

/// Knows the server and how to greet it.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    /// The server, or one like it where sentinels name it.
    url: ServerUrl,
    sentinels: Option<Arc<Sentinels>>,
    required: Required,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Dialer {
    /// Dials the server of this URL.
    pub(crate) fn new(url: ServerUrl, timeout: Duration, connect_timeout: Duration) -> Self {
        Self {
            url,
            sentinels: None,
            required: Required::Nothing,
            timeout,
            connect_timeout,
        }
    }

    /// Dials whichever server the sentinels name instead.
    pub(crate) fn through(self, sentinels: Arc<Sentinels>) -> Self {
        Self {
            sentinels: Some(sentinels),
            required: Required::Master,
            ..self
        }
    }

    /// For any node of a cluster.
    pub(crate) fn in_cluster(self) -> Self {
        Self {
            required: Required::ClusterNode,
            ..self
        }
    }

    /// Dials another node of the cluster.
    pub(crate) fn node_at(&self, endpoint: &Endpoint) -> Self {
        Self {
            url: self.url_at(endpoint),
            ..self.clone()
        }
    }

    /// Dials a node that has to be a master of the cluster.
    pub(crate) fn master_at(&self, endpoint: &Endpoint) -> Self {
        Self {
            required: Required::ClusterMaster,
            ..self.node_at(endpoint)
        }
    }

    pub(crate) fn is_in_cluster(&self) -> bool {
        matches!(self.required, Required::ClusterMaster | Required::ClusterNode)
    }

    /// How long an answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn sentinels(&self) -> Option<&Arc<Sentinels>> {
        self.sentinels.as_ref()
    }

    /// The name of the user that the server knows the store as.
    pub(crate) fn user(&self) -> &str {
        self.url.username.as_deref().unwrap_or("default")
    }

    /// The database that its connections are about.
    pub(crate) fn database(&self) -> i64 {
        self.url.database
    }

    /// A connection for commands, which has answered a `PING`.
    pub(crate) async fn commands(&self) -> Result<Connection, DialError> {
        let Some(sentinels) = &self.sentinels else {
            return self.direct().await;
        };
        let mut outcome = Err(DialError::Sentinels(None));
        for endpoint in sentinels.candidates().await? {
            outcome = self.commands_at(&endpoint).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// A connection for commands to the server itself, without asking sentinels.
    pub(crate) async fn direct(&self) -> Result<Connection, DialError> {
        self.opened(&self.url).await
    }

    /// A connection for commands to the server that sentinels named.
    pub(crate) async fn commands_at(&self, endpoint: &Endpoint) -> Result<Connection, DialError> {
        let connection = self.opened(&self.url_at(endpoint)).await?;
        self.saw(endpoint);
        Ok(connection)
    }

    /// A connection for subscriptions. `pushes` hears everything that the server pushes.
    ///
    /// RESP3, because its push messages reach `pushes` on the connection's own task, as soon as they are read.
    pub(crate) fn notifications(&self, pushes: PushHandler) -> BoxFuture<'_, Result<Connection, DialError>> {
        Box::pin(self.find_notifications(pushes))
    }

    async fn find_notifications(&self, pushes: PushHandler) -> Result<Connection, DialError> {
        let Some(sentinels) = &self.sentinels else {
            return self.open_notifications(&self.url, pushes).await;
        };
        let mut outcome = Err(DialError::Sentinels(None));
        for endpoint in sentinels.candidates().await? {
            outcome = self
                .open_notifications(&self.url_at(&endpoint), Arc::clone(&pushes))
                .await;
            if outcome.is_ok() {
                self.saw(&endpoint);
                break;
            }
        }
        outcome
    }

    /// The command that keeps a connection alive.
    pub(crate) fn heartbeat(&self) -> Command {
        self.required.heartbeat()
    }

    /// Whether the server that answered [`heartbeat`](Self::heartbeat) is still the right one to talk to.
    pub(crate) fn check(&self, connection: &Connection, answer: &Reply) -> Result<(), DialError> {
        self.required.check(answer)?;
        match (&self.sentinels, connection.endpoint()) {
            (Some(sentinels), Some(endpoint)) if !sentinels.is_at(&endpoint) => Err(DialError::NotMaster),
            _ => Ok(()),
        }
    }

    fn saw(&self, endpoint: &Endpoint) {
        if let Some(sentinels) = &self.sentinels {
            sentinels.saw(endpoint.clone());
        }
    }

    fn url_at(&self, endpoint: &Endpoint) -> ServerUrl {
        ServerUrl {
            address: self.url.address.at(endpoint),
            ..self.url.clone()
        }
    }

    /// Boxed, because it is large and many wait for it.
    fn opened<'a>(&'a self, url: &'a ServerUrl) -> BoxFuture<'a, Result<Connection, DialError>> {
        Box::pin(self.open_commands(url))
    }

    async fn open_commands(&self, url: &ServerUrl) -> Result<Connection, DialError> {
        let open = async {
            let connection = self.open(url, None).await?;
            self.greet(&connection).await?;
            Ok(connection)
        };
        let outcome = self.within_timeout(open).await;
        #[cfg(feature = "tls")]
        if let Err(DialError::HungUp(_)) = &outcome
            && url.address.is_secure()
            && let Some(reason) = tls::diagnose(url, self.connect_timeout).await
        {
            return Err(reason);
        }
        outcome
    }

    async fn open_notifications(&self, url: &ServerUrl, pushes: PushHandler) -> Result<Connection, DialError> {
        let open = async {
            let connection = self.open(url, Some(pushes)).await?;
            let mut hello = Command::new("HELLO");
            hello.number(3);
            if let Some(password) = &self.url.password {
                hello.arg("AUTH").arg(self.user()).arg(password);
            }
            ask(&connection, &hello, |e| Err(DialError::Unreachable(e))).await?;
            self.confirm(&connection).await?;
            Ok(connection)
        };
        self.within_timeout(open).await
    }

    /// Makes sure that the server is of the required kind.
    async fn confirm(&self, connection: &Connection) -> Result<(), DialError> {
        if self.required == Required::Nothing {
            return Ok(());
        }
        let answer = connection.send(&self.required.heartbeat()).await;
        self.required.check(&answer?)
    }

    async fn open(&self, url: &ServerUrl, pushes: Option<PushHandler>) -> Result<Connection, DialError> {
        let opened = traffic::open(url, pushes).await?;
        Ok(Connection::new(opened, url.address.clone(), self.timeout))
    }

    async fn within_timeout<T>(&self, open: impl Future<Output = Result<T, DialError>>) -> Result<T, DialError> {
        let outcome = within(self.connect_timeout, pin!(open)).await;
        let outcome = outcome.unwrap_or_else(|e| Err(DialError::Unreachable(e.into())));
        outcome.map_err(|e| e.with_hint(&self.url.address))
    }

    async fn greet(&self, connection: &Connection) -> Result<(), DialError> {
        if let Some(password) = &self.url.password {
            let mut auth = Command::new("AUTH");
            // Before Redis 6 there are no users.
            if let Some(username) = &self.url.username {
                auth.arg(username);
            }
            auth.arg(password);
            ask(connection, &auth, |e| Err(DialError::Credentials(e))).await?;
        }
        let database = self.url.database;
        if database != 0 {
            let mut select = Command::new("SELECT");
            select.arg(database.to_string());
            let refused = |e: RedisError| match e.code() {
                Some("NOPERM") => DialError::Denied(Denied::new(self.user(), ["+select".to_owned()], e)),
                _ => DialError::Database(database, e),
            };
            ask(connection, &select, |e| Err(refused(e))).await?;
        }
        // Any other error shows a server at work: `NOPERM`, or `MISCONF` while it cannot save.
        ask(connection, &Command::new("PING"), |_| Ok(())).await?;
        self.confirm(connection).await
    }
}

/// Sends one command of the greeting; `refused` judges an error of the server that has no meaning of its own.
async fn ask(
    connection: &Connection,
    command: &Command,
    refused: impl FnOnce(RedisError) -> Result<(), DialError>,
) -> Result<(), DialError> {
    let reply = connection.send(command).await;
    let Reply::ServerError(error) = reply? else {
        return Ok(());
    };
    let full = error.details().is_some_and(|d| d.contains("max number of clients"));
    match error.code() {
        "LOADING" | "MASTERDOWN" => Err(DialError::Unreachable(error.into())),
        "NOAUTH" => Err(DialError::PasswordMissing(error.into())),
        "DENIED" => Err(DialError::Protected(error.into())),
        _ if full => Err(DialError::Unreachable(error.into())),
        _ => refused(error.into()),
    }
}
