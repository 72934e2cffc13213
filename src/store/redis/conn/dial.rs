//! Opening connections.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::address::{at, with_tcp_settings};
use super::connection::{Connection, Endpoint, within};
use super::denied::Denied;
use super::error::DialError;
use super::hello::Required;
use super::sentinel::Sentinels;
#[cfg(feature = "tls")]
use super::tls;
use super::traffic;
use crate::task::BoxFuture;
use redis::aio::AsyncPushSender;
#[cfg(feature = "test-util")]
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, Value as Reply,
};

/// Commands that wait for the connection's writer before a caller has to.
const QUEUE: usize = 1024;

/// Knows the server and how to greet it.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    /// The server, or one like it where sentinels name it.
    info: ConnectionInfo,
    sentinels: Option<Arc<Sentinels>>,
    required: Required,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Dialer {
    /// Dials the server at the address of `info`.
    pub(crate) fn new(info: ConnectionInfo, timeout: Duration, connect_timeout: Duration) -> Self {
        Self {
            info: with_tcp_settings(info),
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
            info: self.info_at(endpoint),
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
        self.info.redis_settings().username().unwrap_or("default")
    }

    /// The database that its connections are about.
    pub(crate) fn database(&self) -> i64 {
        self.info.redis_settings().db()
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
        self.opened(&self.info).await
    }

    /// A connection for commands to the server that sentinels named.
    pub(crate) async fn commands_at(&self, endpoint: &Endpoint) -> Result<Connection, DialError> {
        let connection = self.opened(&self.info_at(endpoint)).await?;
        self.saw(endpoint);
        Ok(connection)
    }

    /// A connection for subscriptions. `sender` sees everything that the server pushes.
    ///
    /// RESP3, because its push messages reach `sender` on the connection's own task, as soon as they are parsed.
    pub(crate) async fn notifications(&self, sender: impl AsyncPushSender + Clone) -> Result<Connection, DialError> {
        let Some(sentinels) = &self.sentinels else {
            return self.open_notifications(&self.info, sender).await;
        };
        let mut outcome = Err(DialError::Sentinels(None));
        for endpoint in sentinels.candidates().await? {
            outcome = self.open_notifications(&self.info_at(&endpoint), sender.clone()).await;
            if outcome.is_ok() {
                self.saw(&endpoint);
                break;
            }
        }
        outcome
    }

    /// The command that keeps a connection alive.
    pub(crate) fn heartbeat(&self) -> Cmd {
        self.required.heartbeat()
    }

    /// Whether the server that answered to [`heartbeat`](Self::heartbeat) is still the one to talk to.
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

    fn info_at(&self, endpoint: &Endpoint) -> ConnectionInfo {
        let address = at(self.info.addr(), endpoint);
        self.info.clone().set_addr(address)
    }

    /// Boxed, because it is large and many wait for it.
    fn opened<'a>(&'a self, info: &'a ConnectionInfo) -> BoxFuture<'a, Result<Connection, DialError>> {
        Box::pin(self.open_commands(info))
    }

    async fn open_commands(&self, info: &ConnectionInfo) -> Result<Connection, DialError> {
        // The greeting is ours: the crate's own hides what the server said to the credentials.
        let bare = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        let client = client(info, bare)?;
        let config = self.config();
        let open = async {
            let connection = self.open_counted(&client, config).await?;
            self.greet(&connection).await?;
            Ok(connection)
        };
        let outcome = self.within_timeout(open).await;
        #[cfg(feature = "tls")]
        if let Err(DialError::HungUp(_)) = &outcome
            && let ConnectionAddr::TcpTls { .. } = info.addr()
            && let Some(reason) = tls::diagnose(client, self.connect_timeout).await
        {
            return Err(reason);
        }
        outcome
    }

    async fn open_notifications(
        &self,
        info: &ConnectionInfo,
        sender: impl AsyncPushSender,
    ) -> Result<Connection, DialError> {
        let settings = info.redis_settings().clone();
        let client = client(
            info,
            settings
                .set_protocol(ProtocolVersion::RESP3)
                .set_db(0)
                .set_skip_set_lib_name(),
        )?;
        let config = self.config().set_push_sender(sender);
        let open = async {
            let connection = self.open(&client, &config).await?;
            self.confirm(&connection).await?;
            Ok(connection)
        };
        self.within_timeout(open).await
    }

    /// Makes sure that the server is what is required.
    async fn confirm(&self, connection: &Connection) -> Result<(), DialError> {
        if self.required == Required::Nothing {
            return Ok(());
        }
        let answer = connection.send(&self.required.heartbeat()).await;
        self.required.check(&answer?)
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
    }

    async fn open(&self, client: &Client, config: &AsyncConnectionConfig) -> Result<Connection, DialError> {
        let info = client.get_connection_info();
        let address = info.addr().clone();
        #[cfg(feature = "test-util")]
        if let Some(stream) = traffic::simulated(info) {
            let (settings, config) = (info.redis_settings(), config.clone());
            let stream = stream.map_err(RedisError::from)?;
            let (connection, driver) = MultiplexedConnection::new_with_config(settings, stream, config).await?;
            drop(crate::task::spawn(Box::pin(driver)));
            return Ok(Connection::new(connection, address, self.timeout));
        }
        let connection = client.get_multiplexed_async_connection_with_config(config).await;
        Ok(Connection::new(connection?, address, self.timeout))
    }

    /// Opens a connection of which it is known what passes over it. With TLS, which the crate keeps to itself, it is not.
    async fn open_counted(&self, client: &Client, config: AsyncConnectionConfig) -> Result<Connection, DialError> {
        let info = client.get_connection_info();
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return self.open(client, &config).await;
        }
        let (pipe, traffic, driver) = traffic::open(info).await?;
        Ok(Connection::piped(
            pipe,
            traffic,
            driver,
            info.addr().clone(),
            self.timeout,
        ))
    }

    async fn within_timeout<T>(&self, open: impl Future<Output = Result<T, DialError>>) -> Result<T, DialError> {
        let outcome = within(self.connect_timeout, pin!(open)).await;
        let outcome = outcome.unwrap_or_else(|e| Err(DialError::Unreachable(e.into())));
        outcome.map_err(|e| e.with_hint(self.info.addr()))
    }

    async fn greet(&self, connection: &Connection) -> Result<(), DialError> {
        let settings = self.info.redis_settings();
        if let Some(password) = settings.password() {
            let mut auth = redis::cmd("AUTH");
            auth.arg(settings.username()).arg(password);
            ask(connection, &auth, |e| Err(DialError::Credentials(e))).await?;
        }
        if settings.db() != 0 {
            let database = settings.db();
            let mut select = redis::cmd("SELECT");
            select.arg(database);
            let refused = |e: RedisError| match e.code() {
                Some("NOPERM") => DialError::Denied(Denied::new(self.user(), ["+select".to_owned()], e)),
                _ => DialError::Database(database, e),
            };
            ask(connection, &select, |e| Err(refused(e))).await?;
        }
        // Any other error shows a server at work: `NOPERM`, or `MISCONF` while it cannot save.
        ask(connection, &redis::cmd("PING"), |_| Ok(())).await?;
        self.confirm(connection).await
    }
}

fn client(info: &ConnectionInfo, settings: RedisConnectionInfo) -> Result<Client, DialError> {
    Client::open(info.clone().set_redis_settings(settings)).map_err(DialError::from)
}

/// Sends one command of the greeting; `refused` judges a server's error to it that has no meaning of its own.
async fn ask(
    connection: &Connection,
    command: &Cmd,
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
