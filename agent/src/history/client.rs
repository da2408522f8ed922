//! Asks a running agent.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt as _;
use thiserror::Error;
use tokio::{net::UnixStream, time::timeout};
use tokio_stream::StreamExt as _;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::{
    Malformed, Window,
    dictionary::Values,
    protocol::{Answer, Head, Request, Unread, answers, frame, requests},
    window::{Extent, Found, Past},
};

/// An agent answers within its own second; more is for a host without time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no answer. All but [`AskError::NoAgent`] name the socket.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no agent is running")]
    NoAgent,
    /// This user may not ask.
    #[error("{}: this user may not ask the agent", .0.display())]
    Forbidden(PathBuf),
    /// The agent said no.
    #[error("{}: {why}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its words.
        why: String,
    },
    /// The agent said what is not understood.
    #[error("{}: the agent's answer is of no use: {source}; let both be of the same version", path.display())]
    Unread {
        /// The socket.
        path: PathBuf,
        /// What it is.
        source: Unread,
    },
    /// The connection ended early.
    #[error("{}: the agent has no time; try again", .0.display())]
    Busy(PathBuf),
    /// A call failed.
    #[error("{}: the agent cannot be asked ({source})", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Asks the agent that listens there.
pub async fn ask(path: &Path, window: Window) -> Result<Past, AskError> {
    let answer = timeout(PATIENCE, talk(path, window)).await;
    answer.unwrap_or_else(|_| Err(AskError::Busy(path.into())))
}

async fn talk(path: &Path, window: Window) -> Result<Past, AskError> {
    let mut stream = UnixStream::connect(path)
        .await
        .map_err(|source| unreachable(path, source))?;
    let (reading, writing) = stream.split();
    let unread = |source: Unread| AskError::Unread {
        path: path.into(),
        source,
    };
    let malformed = |error: Malformed| unread(error.into());
    let request = frame(&Request::new(window)).map_err(malformed)?;
    let sent = FramedWrite::new(writing, requests())
        .send(Bytes::from(request))
        .await;
    sent.map_err(|source| broken(path, source))?;
    let mut frames = FramedRead::new(reading, answers());
    let head = next(path, &mut frames).await?;
    let (origin, extent, slices) = match Head::parse(&head).map_err(unread)?.answer {
        Answer::Refused(why) => {
            let path = path.into();
            return Err(AskError::Refused { path, why });
        }
        Answer::Nothing(origin) => {
            return Ok(Past {
                origin,
                extent: Extent::NONE,
                model: None,
            });
        }
        Answer::Found {
            origin,
            extent,
            slices,
        } => (origin, extent, slices),
    };
    let names = next(path, &mut frames).await?;
    let mut found = Found {
        extent,
        names: Values::decode(&names).map_err(malformed)?,
        slices: Vec::new(),
    };
    for _ in 0..slices {
        found.slices.push(next(path, &mut frames).await?.freeze());
    }
    Ok(Past {
        origin,
        extent,
        model: found.model().map_err(malformed)?,
    })
}

async fn next<Frames>(path: &Path, frames: &mut Frames) -> Result<BytesMut, AskError>
where
    Frames: tokio_stream::Stream<Item = io::Result<BytesMut>> + Unpin,
{
    match frames.next().await {
        Some(frame) => frame.map_err(|source| broken(path, source)),
        None => Err(AskError::Busy(path.into())),
    }
}

fn unreachable(path: &Path, source: io::Error) -> AskError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoAgent,
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.into()),
        _ => broken(path, source),
    }
}

fn broken(path: &Path, source: io::Error) -> AskError {
    let is_ended = [
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::UnexpectedEof,
    ];
    let path = path.into();
    if is_ended.contains(&source.kind()) {
        return AskError::Busy(path);
    }
    AskError::Io { path, source }
}
